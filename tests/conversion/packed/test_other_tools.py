"""What fp8, auto-round, torchao and bitsandbytes checkpoints can have that the small real ones have not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovpass.conversion.requantization import has_integers
from ovpass.errors import ModelError
from ovpass.formats import float_types
from tests.conversion.packed.folders import Array, checkpoint, encoding_of, unpacked

RANDOM = np.random.default_rng(0)


def test_blocks_of_fp8_that_are_cut_off(tmp_path: Path) -> None:
    """200 rows and 160 columns are one block of 128 and a part of one: groups of 32 lie within both."""
    codes = RANDOM.integers(0, 0x78, (200, 160)).astype(np.uint8)
    scales = RANDOM.uniform(0.001, 0.002, (2, 2)).astype(np.float32)
    given = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    layer = unpacked(tmp_path, given, {"weight": codes, "weight_scale_inv": scales}, f8=("weight",))
    whole = scales[np.arange(200) // 128][:, np.arange(160) // 128]
    assert np.array_equal(layer.values(), float_types.values_by_code("f8e4m3")[codes] * whole)
    assert encoding_of(layer).group_size == 32


def test_layers_of_auto_round_with_bits_of_their_own(tmp_path: Path) -> None:
    words = RANDOM.integers(-(2**31), 2**31, (16, 32)).astype(np.int32)
    tensors: dict[str, Array] = {
        "qweight": words,
        "qzeros": np.zeros((2, 8), np.int32),
        "scales": np.ones((2, 32), np.float16),
    }
    given = {"quant_method": "auto-round", "bits": 4, "packing_format": "auto_round"}
    given["extra_config"] = {"lay.*": {"bits": 8}}
    layer = unpacked(tmp_path, given, tensors)
    assert np.array_equal(
        layer.values(), np.ascontiguousarray(words).view(np.uint8).reshape(16, 32, 4).swapaxes(1, 2).reshape(64, 32).T
    )


def test_packings_that_are_not_known(tmp_path: Path) -> None:
    for form, said in (("auto_round:fp8", "packing_format"), ("auto_round:auto_awq", "has 8 bits")):
        given = {"quant_method": "auto-round", "bits": 8, "packing_format": form}
        with pytest.raises(ModelError, match=said):
            unpacked(tmp_path, given, {"qweight": np.zeros((8, 8), np.int32)})


TORCHAO = {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}


def described(kind: str, *shape: int) -> dict[str, str]:
    """What torchao says of a tensor in the metadata of a file."""
    return {"layer.weight": json.dumps({"_type": kind, "_data": {"block_size": [1, 32], "shape": shape}})}


@pytest.mark.parametrize("kind", ["Int4PreshuffledTensor", "Int4PlainInt32Tensor", None])
def test_codes_that_are_packed_for_another_device(tmp_path: Path, kind: str | None) -> None:
    metadata = described(kind, 8, 64) if kind else {}
    found = checkpoint(tmp_path, TORCHAO, {"_weight_qdata": np.zeros((8, 8), np.int32)}, metadata=metadata)
    with pytest.raises(ModelError, match=rf"layer is {kind} \(Int4WeightOnlyConfig\), which cannot be converted"):
        found.layer("layer")


def test_activations_that_torchao_scales(tmp_path: Path) -> None:
    tensors: dict[str, Array] = {"_weight_qdata": np.zeros((8, 32), np.int8), "_weight_act_pre_scale": np.ones(64)}
    tensors["_weight_act_pre_scale"] = np.ones(64, np.float32)
    found = checkpoint(tmp_path, TORCHAO, tensors, metadata=described("Int4Tensor", 8, 64))
    with pytest.raises(ModelError, match="act_pre_scale"):
        found.layer("layer")


def test_tiles_of_tensor_cores(tmp_path: Path) -> None:
    """13 rows and 96 inputs in tiles of 8 rows and 1024 inputs, packed as PyTorch's kernel packs them.

    Lane t of a tile has row t // 4. In a word it has the codes of inputs 2 * (t % 4) and, four times, 8 further on, in
    the nibbles 0 to 3, and those beside them in the nibbles 4 to 7. (ATen, int4mm.cu)
    """
    n, k, group = 13, 96, 32
    codes, words = np.zeros((16, 1024), np.int64), np.zeros((2, 8, 32, 4), np.uint32)
    codes[:n, :k] = RANDOM.integers(0, 16, (n, k))
    for tile, outer, lane, pair, nibble in np.ndindex(2, 8, 32, 4, 8):
        column = outer * 128 + pair * 32 + 8 * (nibble % 4) + 2 * (lane % 4) + nibble // 4
        words[tile, outer, lane, pair] |= np.uint32(codes[tile * 8 + lane // 4, column] << 4 * nibble)
    together = RANDOM.uniform(0.5, 1, (1024 // group, 16, 2)).astype(np.float32)
    tensors: dict[str, Array] = {"_weight_qdata": words.view(np.int32), "_weight_scale_and_zero": together}
    found = checkpoint(tmp_path, TORCHAO, tensors, metadata=described("Int4TilePackedTo4dTensor", n, k))
    scales, zeros = (np.repeat(together[: k // group, :n, part].T, group, axis=1) for part in (0, 1))
    np.testing.assert_allclose(found.layer("layer").values(), (codes[:n, :k] - 8) * scales + zeros, atol=1e-5)


def hqq(codes: Array, zeros: Array, scales: Array, **more: Any) -> dict[str, Array]:
    """A layer of 8-bit codes, [groups, group size] on axis 1, as hqq lays out its settings."""
    settings = {"group_size": codes.shape[1], "axis": 1, **more}
    return {
        "W_q": codes.astype(np.uint8),
        "zero": zeros[:, None],
        "scale": scales[:, None],
        "shape": np.array([6, 96], np.int64),
        "packing": np.frombuffer(b"8bit_u8", np.uint8),
        **{name: np.array(value, np.int32) for name, value in settings.items()},
    }


def test_zeros_of_hqq_that_are_whole_are_integers(tmp_path: Path) -> None:
    codes, zeros = RANDOM.integers(0, 200, (18, 32)), RANDOM.integers(0, 200, 18).astype(np.float16)
    layer = unpacked(tmp_path, {"quant_method": "hqq"}, hqq(codes, zeros, np.full(18, 0.5, np.float16)))
    assert has_integers(layer.encoded)
    assert np.array_equal(layer.values(), ((codes - zeros[:, None]) / 2).reshape(6, 96))


def test_groups_of_hqq_that_run_across_rows(tmp_path: Path) -> None:
    """96 inputs and groups of 64: every second group lies in two rows."""
    codes, zeros = RANDOM.integers(0, 256, (9, 64)), RANDOM.uniform(0, 255, 9).astype(np.float32)
    layer = unpacked(tmp_path, {"quant_method": "hqq"}, hqq(codes, zeros, np.ones(9, np.float32)))
    np.testing.assert_allclose(layer.values(), (codes - zeros[:, None]).reshape(6, 96), atol=1e-5)
    assert encoding_of(layer).group_size == 32
    assert not has_integers(layer.encoded)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"packing": np.frombuffer(b"5bit_u8", np.uint8)}, "packing '5bit_u8' is not known"),
        ({"axis": np.array(2, np.int32)}, "groups of 64 on axis 2"),
        ({"quant_zero": np.array(1, np.uint8)}, "zeros or scales that are quantized"),
        ({"zero": np.ones((8, 1), np.float32)}, "8 scales do not fit"),
        ({"W_q": np.zeros((8, 64), np.uint8)}, "W_q holds 8 rows of codes, not 9"),
        ({"scale": np.full((9, 1), np.nan, np.float32)}, "not finite"),
    ],
)
def test_layers_of_hqq_that_do_not_fit(tmp_path: Path, change: dict[str, Array], said: str) -> None:
    ones = np.ones(9, np.float32)
    found = checkpoint(tmp_path, {"quant_method": "hqq"}, hqq(np.zeros((9, 64)), ones, ones) | change)
    with pytest.raises(ModelError, match=said):
        found.layer("layer")


def test_blocks_of_bitsandbytes_that_run_across_rows(tmp_path: Path) -> None:
    """96 inputs and blocks of 64: every second block lies in two rows."""
    codes = RANDOM.integers(0, 16, 6 * 96)
    absmax, table = RANDOM.uniform(0.5, 1, 9).astype(np.float32), float_types.values_by_code("nf4")
    state = b'{"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [6, 96]}'
    tensors: dict[str, Array] = {
        "weight": (codes[::2] << 4 | codes[1::2]).astype(np.uint8)[:, None],
        "weight.absmax": absmax,
        "weight.quant_map": table,
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(state, np.uint8),
    }
    layer = unpacked(tmp_path, {"quant_method": "bitsandbytes"}, tensors)
    assert np.array_equal(layer.values(), (table[codes] * absmax[np.arange(len(codes)) // 64]).reshape(6, 96))
    assert encoding_of(layer).group_size == 32
