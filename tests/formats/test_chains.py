"""What is written is found again as what it is, and OpenVINO computes the decoded weights of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, EncodedWeights, Encoding
from ovpass.ir.constant_folding import evaluate
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from tests.formats.encodings import ENCODINGS, GROUP, label
from tests.passes.helpers import outputs

N, K = 6, 64


def encoded(encoding: Encoding) -> EncodedWeights:
    weights = np.random.default_rng(7).standard_normal((N, K)).astype(np.float32)
    return FORMATS[encoding.format].encode(weights, encoding)


def decoded(encoding: Encoding) -> npt.NDArray[Any]:
    return FORMATS[encoding.format].decode(encoded(encoding))


def chain(encoding: Encoding, compute: str, transposed: bool = False) -> ov.Output:
    form = ChainForm("weight", "weight/", compute, transposed=transposed)
    return FORMATS[encoding.format].write(encoded(encoding), form)


def model(encoding: Encoding, compute: str, transposed: bool = False) -> ov.Model:
    x = op.parameter([-1, K], np.float32)
    x.output(0).set_names({"x"})
    return ov.Model([op.result(op.matmul(x, chain(encoding, compute, transposed), False, not transposed))], [x])


def found(encoding: Encoding, transposed: bool) -> CompressedMatMul:
    (site,) = find_compressed_matmuls(model(encoding, "f16", transposed))
    return site


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=label)
def test_a_written_chain_is_found_as_what_it_is(encoding: Encoding, transposed: bool) -> None:
    site = found(encoding, transposed)
    assert (site.n, site.k) == (N, K)
    assert (site.format, site.weight_type) == (encoding.format, encoding.element_type)
    assert site.weight_group_size == encoding.group_size
    assert site.codebook == (encoding.format == "codebook")
    one_zero_point = encoding.symmetric and encoding.format == "integer" and encoding.element_type.startswith("u")
    assert site.symmetric == (encoding.symmetric and not one_zero_point)
    assert site.zero_point == (None if site.symmetric else "integer")
    assert site.zero_point_group_size == (None if encoding.symmetric else encoding.group_size)
    assert len(site.weights.k_axes) == (2 if encoding.group_size else 1)
    (scale,) = site.weights.scales
    assert scale.groups == (K // GROUP if encoding.group_size else 1)
    assert scale.element_type == ("f32" if encoding.scale_type == "f8e4m3" else encoding.scale_type)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=label)
def test_openvino_folds_a_chain_to_the_decoded_weights(encoding: Encoding, transposed: bool) -> None:
    """Bit for bit, with the arithmetic in f32."""
    weights = evaluate(chain(encoding, "f32", transposed))
    assert weights.dtype == np.float32
    assert np.array_equal(weights.T if transposed else weights, decoded(encoding))


HELD_BY_F16 = [e for e in ENCODINGS if e.scale_type in ("f16", "f8e8m0") and (e.table_type != "f32" or not e.table)]
"""Scales and tables that are no other in the type of the arithmetic."""


@pytest.mark.parametrize("encoding", HELD_BY_F16, ids=label)
def test_the_cpu_multiplies_with_the_decoded_weights(encoding: Encoding) -> None:
    """Bit for bit, in the form that NNCF writes: the plugin computes it in f32 throughout."""
    (products,) = outputs(model(encoding, "f16"), {"x": np.eye(K, dtype=np.float32)}, group_size=0)
    assert np.array_equal(products.T, decoded(encoding))


def test_weights_may_have_a_batch() -> None:
    weights = np.random.default_rng(0).standard_normal((3, N, K)).astype(np.float32)
    for encoding in (Encoding("integer", "u4", GROUP, symmetric=False), Encoding("float", "nf4")):
        known = FORMATS[encoding.format]
        stored = known.encode(weights, encoding)
        assert np.array_equal(evaluate(known.write(stored, ChainForm("w", "w/", "f32"))), known.decode(stored))
        assert np.array_equal(known.decode(stored)[1], known.decode(known.encode(weights[1], encoding)))


def test_ops_are_named_by_their_roles() -> None:
    ops = model(Encoding("integer", "u4", GROUP, symmetric=False), "f16").get_ops()
    names = {node.get_friendly_name() for node in ops}
    assert {"weight", "weight/converted", "weight/zero_point", "weight/scale", "weight/scaled"} <= names
