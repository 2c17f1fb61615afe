"""AQLM and VPTQ: layers in their own layouts, decoded as their tools do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovpass.errors import ModelError
from ovpass.formats.vector_encoding import VectorWeights
from tests.conversion.packed.folders import Array, checkpoint, unpacked

N, K = 32, 48
LENGTH = 8


def halves(random: np.random.Generator, *shape: int) -> Array:
    return random.standard_normal(shape).astype(np.float16)


def aqlm(books: int, bits: int) -> tuple[dict[str, Any], dict[str, Array]]:
    random = np.random.default_rng(books)
    kind = np.int8 if bits == 8 else np.int16
    codes = random.integers(0, 2**bits, (N, K // LENGTH, books)).astype(np.dtype(f"u{kind().itemsize}")).view(kind)
    config = {"quant_method": "aqlm", "in_group_size": LENGTH, "num_codebooks": books, "nbits_per_codebook": bits}
    return config | {"out_group_size": 1}, {
        "codes": codes,
        "codebooks": halves(random, books, 2**bits, 1, LENGTH),
        "scales": halves(random, N, 1, 1, 1),
    }


def decoded_aqlm(tensors: dict[str, Array]) -> Array:
    """sum over codebooks c of codebooks[c, codes mod 2^bits] * scales, as dequantize_weight of AQLM."""
    codes, books = tensors["codes"].astype(np.int64), tensors["codebooks"].astype(np.float64)
    vectors = sum(book[codes[..., number] % len(book), 0] for number, book in enumerate(books))
    return np.asarray(vectors).reshape(N, K) * tensors["scales"].reshape(N, 1).astype(np.float64)


@pytest.mark.parametrize(("books", "bits"), [(1, 16), (2, 8), (4, 8), (1, 12)])
def test_aqlm(tmp_path: Path, books: int, bits: int) -> None:
    config, tensors = aqlm(books, bits)
    layer = unpacked(tmp_path, config, tensors)
    assert isinstance(layer.encoded, VectorWeights)
    assert layer.encoded.vectors.entries == (2**bits,) * books
    assert np.allclose(layer.values(), decoded_aqlm(tensors), rtol=1e-5, atol=1e-5)  # sums in f32


def packed_bits(numbers: list[tuple[int, int]]) -> Array:
    """Numbers with their widths as 32-bit words, one bit after the other."""
    stream = [number >> place & 1 for number, width in numbers for place in range(width)]
    stream += [0] * (-len(stream) % 32)
    words = [sum(bit << place for place, bit in enumerate(stream[at : at + 32])) for at in range(0, len(stream), 32)]
    return np.array(words, np.uint32).view(np.int32)


def vptq(
    entries: int, residual: int, *, packed: bool, norm: bool = True, perm: bool = True
) -> tuple[dict[str, Any], dict[str, Array], Array]:
    """The configuration, the tensors, and the weights that dequant of VPTQ makes of them."""
    random = np.random.default_rng(entries + residual)
    counts = [count for count in (entries, residual) if count > 0]
    books = [halves(random, count, LENGTH) for count in counts]
    codes = [random.integers(0, count, (N // LENGTH, K)) for count in counts]
    order = random.permutation(K)
    scale, bias = halves(random, K), halves(random, K)
    looked_up = sum(book.astype(np.float64)[code] for book, code in zip(books, codes, strict=True))
    weights = np.asarray(looked_up).swapaxes(1, 2).reshape(N, K)
    names = ("centroids.weight", "res_centroids.weight")
    tensors = {name: book.reshape(1, -1) for name, book in zip(names, books, strict=False)}
    if packed:
        widths = [(count - 1).bit_length() for count in counts]
        rows = [[(int(code[row, k]), width) for k in range(K) for code, width in zip(codes, widths, strict=True)]
                for row in range(N // LENGTH)]  # fmt: skip
        tensors["indices"] = np.stack([packed_bits(row) for row in rows])[None]
    else:
        stored = [code[None].astype(np.uint16).view(np.int16) for code in codes]
        tensors |= dict(zip(("indices", "res_indices"), stored, strict=False))
    if perm:
        tensors["perm"] = order.astype(np.uint16).view(np.int16) if packed else order.astype(np.int64)
        weights = weights[:, np.argsort(order)]
    if norm:
        tensors |= {"weight_scale": scale, "weight_bias": bias}
        weights = weights * scale + bias
    layer = {
        "in_features": K, "out_features": N, "vector_lens": [-1, LENGTH], "num_centroids": [-1, entries],
        "num_res_centroids": [-1, residual], "group_num": 1, "group_size": K, "outlier_size": 0,
        "enable_norm": norm, "enable_perm": perm, "is_indice_packed": packed,
    }  # fmt: skip
    return {"quant_method": "vptq", "config_for_layers": {"layer": layer}}, tensors, weights


@pytest.mark.parametrize("packed", [False, True], ids=["int16", "packed"])
@pytest.mark.parametrize(
    ("entries", "residual", "norm", "perm"),
    [(65536, -1, True, True), (256, 256, True, True), (4096, 16, True, False), (512, 32, False, False)],
)
def test_vptq(tmp_path: Path, entries: int, residual: int, norm: bool, perm: bool, packed: bool) -> None:
    config, tensors, expected = vptq(entries, residual, packed=packed, norm=norm, perm=perm)
    layer = unpacked(tmp_path, config, tensors)
    assert isinstance(layer.encoded, VectorWeights)
    assert layer.encoded.shape == (N, K)
    assert np.allclose(layer.values(), expected, rtol=1e-5, atol=1e-5)


def changed(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    layer = config["config_for_layers"]["layer"] | changes
    return config | {"config_for_layers": {"layer": layer}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group_num": 2}, "group_num 2"),
        ({"vector_lens": [4, 8], "num_centroids": [16, 256]}, "outliers"),
        ({"out_features": N + 1}, "do not divide"),
        ({"num_centroids": None}, "num_centroids"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_vptq_that_is_laid_out_otherwise(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    config, tensors, _ = vptq(256, -1, packed=False)
    with pytest.raises(ModelError, match=said):
        unpacked(tmp_path, changed(config, **changes), tensors)


def test_vptq_without_a_layers_configuration(tmp_path: Path) -> None:
    config, tensors, _ = vptq(256, -1, packed=False)
    with pytest.raises(ModelError, match="config_for_layers"):
        unpacked(tmp_path, config | {"config_for_layers": {}}, tensors)


def test_aqlm_with_out_groups(tmp_path: Path) -> None:
    config, tensors = aqlm(2, 8)
    with pytest.raises(ModelError, match="out_group_size 8"):
        unpacked(tmp_path, config | {"out_group_size": 8}, tensors)


@pytest.mark.parametrize("part", ["codes", "codebooks", "scales"])
def test_aqlm_whose_tensors_do_not_fit(tmp_path: Path, part: str) -> None:
    config, tensors = aqlm(2, 8)
    with pytest.raises(ModelError, match="layer"):
        unpacked(tmp_path, config, tensors | {part: tensors[part][:1, :1]})


def test_codes_beyond_the_codebook(tmp_path: Path) -> None:
    config, tensors = aqlm(1, 12)
    codes = tensors["codes"].copy()
    codes[0, 0] = 5000
    with pytest.raises(ModelError, match="5000"):
        unpacked(tmp_path, config, tensors | {"codes": codes})


def test_notes_say_how_the_weights_run(tmp_path: Path) -> None:
    notes = [" ".join(checkpoint(tmp_path, *aqlm(1, bits)).notes) for bits in (8, 16)]
    assert "decompress" in notes[0]
    assert "65536 entries" in notes[1]
