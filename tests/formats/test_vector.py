"""Vector-quantized weights: what is written is found, read back, and what OpenVINO computes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.formats import kmeans, vector, vector_writing
from ovpass.formats.base import ChainForm, Encoding
from ovpass.formats.vector_chain import VectorChain
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights, stored_bits
from ovpass.ir.files import IrFile
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites.files import find_sites_in_file
from ovpass.sites.find import find_sites
from ovpass.targets.costs.work import weight_bytes

Array = npt.NDArray[Any]
N, K = 24, 64

ENCODINGS = {
    "one book": VectorEncoding.of(4, [200]),
    "residual": VectorEncoding.of(8, [256, 256, 16]),
    "nibbles": VectorEncoding.of(2, [16]),
    "six bits": VectorEncoding.of(2, [64]),
    "sixteen bits": VectorEncoding.of(2, [300]),
    "groups": VectorEncoding.of(4, [32, 16], group_size=16),
    "ranges": VectorEncoding.of(4, [32, 16], ranges=4),
    "along N": VectorEncoding.of(8, [32, 16], along="n"),
    "along N in groups and ranges": VectorEncoding.of(4, [32], along="n", group_size=12, ranges=2),
}


@cache
def gaussian(encoding: VectorEncoding) -> VectorWeights:
    encoded = vector.encode(np.random.default_rng(1).standard_normal((N, K)).astype(np.float32), encoding)
    assert isinstance(encoded, VectorWeights)
    return encoded


def weights_in(encoding: VectorEncoding, *, shift: bool = False, permutation: bool = False) -> VectorWeights:
    encoded, random = gaussian(encoding), np.random.default_rng(2)
    rows, _ = encoded.matrix_shape
    halves = random.standard_normal((rows, 1)).astype(np.float16).astype(np.float32)
    order = random.permutation(K).astype(np.int32)
    return VectorWeights(
        encoding,
        encoded.codes,
        encoded.scale,
        codebooks=encoded.codebooks,
        shift=halves if shift else None,
        permutation=order if permutation else None,
    )


def model_of(weights: VectorWeights, output: str = "f32", *, transposed: bool = False) -> ov.Model:
    data = op.parameter([-1, K], np.float32 if output == "f32" else np.float16)
    source = vector.write(weights, ChainForm("w", "w/", output=output, transposed=transposed))
    product = op.matmul(data, source, transpose_a=False, transpose_b=not transposed)
    product.set_friendly_name("matmul")
    return ov.Model([product], [data])


@pytest.mark.parametrize("transposed", [False, True], ids=["N x K", "K x N"])
@pytest.mark.parametrize("further", [(), ("shift",), ("permutation",), ("shift", "permutation")], ids="+".join)
@pytest.mark.parametrize("name", ENCODINGS)
def test_what_is_written_is_found_and_read_back(name: str, further: tuple[str, ...], transposed: bool) -> None:
    weights = weights_in(ENCODINGS[name], **dict.fromkeys(further, True))
    graph = ModelGraph(model_of(weights, transposed=transposed))
    [site] = find_sites(graph)
    assert (site.format, site.n, site.k) == ("vector", N, K)
    assert isinstance(site.weights, VectorChain)
    assert site.weights.encoding == weights.encoding
    read = vector_writing.read_vectors(graph, site.weights)
    assert np.array_equal(vector.decode(read), vector.decode(weights))
    assert read.own_bits == weights.own_bits


@pytest.mark.parametrize("transposed", [False, True], ids=["N x K", "K x N"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_openvino_computes_what_decode_returns(name: str, transposed: bool) -> None:
    weights = weights_in(ENCODINGS[name], shift=True, permutation=True)
    compiled = ov.Core().compile_model(
        model_of(weights, transposed=transposed), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    computed = compiled(np.eye(K, dtype=np.float32))[0]
    # One rounding a weight: the plugin adds the shift to the product of the scale at once.
    assert np.abs(computed.T - vector.decode(weights)).max() < 1e-6


@pytest.mark.parametrize("output", ["f32", "f16"])
def test_the_text_of_a_file_shows_the_same(tmp_path: Path, output: str) -> None:
    weights = weights_in(ENCODINGS["ranges"], permutation=True)
    ov.save_model(model_of(weights, output), tmp_path / "m.xml", compress_to_fp16=False)
    [site] = find_sites_in_file(IrFile(tmp_path / "m.xml", "m.xml"))
    assert isinstance(site.weights, VectorChain)
    assert site.weights.encoding == weights.encoding


def test_a_plugin_keeps_nothing_but_the_weights() -> None:
    compiled = ov.Core().compile_model(model_of(weights_in(ENCODINGS["residual"])), "CPU")
    kinds = {node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops()}
    assert kinds.isdisjoint({"Gather", "Eltwise"})


def test_bits_are_those_of_the_file(tmp_path: Path) -> None:
    """The constants of one axis and one shape apart."""
    weights = weights_in(ENCODINGS["residual"])
    ov.save_model(model_of(weights), tmp_path / "m.xml", compress_to_fp16=False)
    stored = (tmp_path / "m.bin").stat().st_size * 8
    assert stored - 8 * 64 <= stored_bits([weights]) <= stored


def test_shared_codebooks_are_written_and_counted_once() -> None:
    weights = weights_in(ENCODINGS["residual"])
    assert stored_bits([weights, weights]) < 2 * stored_bits([weights])
    first, second = vector.VECTOR.write_all([weights] * 2, [ChainForm(name, f"{name}/") for name in "ab"])
    nodes = ov.Model([op.add(first, second)], []).get_ops()
    tables = [node.get_friendly_name() for node in nodes if node.get_friendly_name().endswith("codebook_1")]
    assert tables == ["a/codebook_1"]


@pytest.mark.parametrize(
    ("length", "entries"), [(3, [16]), (4, []), (4, [1]), (4, [65537])], ids=["length", "none", "few", "many"]
)
def test_encodings_that_do_not_exist(length: int, entries: list[int]) -> None:
    with pytest.raises(ValueError, match="use"):
        VectorEncoding.of(length, entries)


@pytest.mark.parametrize(
    ("shape", "encoding", "said"),
    [
        ((4, 10), VectorEncoding.of(4, [16]), "K=10"),
        ((10, 8), VectorEncoding.of(4, [16], along="n"), "N=10"),
        ((4, 24), VectorEncoding.of(8, [16], group_size=12), "groups of 12"),
        ((2, 4, 8), VectorEncoding.of(4, [16]), "rank 3"),
        ((4, 8), Encoding("integer", "u4"), "integer"),
    ],
)
def test_weights_that_do_not_fit(shape: tuple[int, ...], encoding: Encoding, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        vector.encode(np.ones(shape, np.float32), encoding)


def test_the_nearest_center_is_found_by_weighted_distance() -> None:
    random = np.random.default_rng(2)
    vectors, centers = random.standard_normal((5000, 4)), random.standard_normal((50, 4))
    weights = random.random((5000, 4))
    expected = ((vectors[:, None] - centers) ** 2 * weights[:, None]).sum(-1)
    found = kmeans.assign(*(each.astype(np.float32) for each in (vectors, weights, centers)))
    assert (expected[np.arange(5000), found] <= expected.min(1) + 1e-5).all()


def test_clusters_are_the_same_for_a_seed_and_all_are_used() -> None:
    vectors = np.random.default_rng(3).standard_normal((500, 2)).astype(np.float32)
    first, second = (kmeans.cluster(vectors, None, 32, seed=7) for _ in range(2))
    assert np.array_equal(first, second)
    assert len(set(kmeans.assign(vectors, None, first).tolist())) == 32


def test_a_site_says_how_it_is_stored() -> None:
    [site] = find_sites(ModelGraph(model_of(weights_in(ENCODINGS["residual"]))))
    assert site.stored_as == "vector d=8 256+256+16"
    bits = (8 + 8 + 4) / 8 + 16 / K  # codes, and a scale a row; the codebooks are left out
    assert weight_bytes(site) * 8 == bits * N * K
