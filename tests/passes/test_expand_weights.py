"""M-ANT weights in 8-bit integers: the same where they fit, and close to it where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.errors import PassError
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm
from ovpass.formats.integer import decode as decode_integer
from ovpass.formats.mant import decode, encode
from ovpass.formats.mant_encoding import MantWeights, mant
from ovpass.formats.mant_expansion import expand
from ovpass.formats.mant_reading import read_mant
from ovpass.ir.constant_folding import evaluate
from ovpass.passes import ExpandWeights, PassManager
from ovpass.sites import find_compressed_matmuls
from tests.builders import linear_model

Array = npt.NDArray[Any]

K, N, GROUP = 64, 12, 16
W = np.random.default_rng(2).standard_normal((N, K)).astype(np.float32)


def stored(bits: int, group: int | None = GROUP) -> MantWeights:
    found = encode(W, mant(bits, group))
    assert isinstance(found, MantWeights)
    return found


def model(encoded: MantWeights, *, transposed: bool = False) -> ov.Model:
    x = op.parameter([-1, K], np.float32)
    x.output(0).set_names({"x"})
    chain = FORMATS["mant"].write(encoded, ChainForm("weight", "weight/", "f32", transposed=transposed))
    product = op.matmul(x, chain, False, not transposed)
    product.set_friendly_name("linear")
    return ov.Model([op.result(product)], [x])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("group", [None, GROUP])
@pytest.mark.parametrize("bits", [3, 4])
def test_weights_are_read_as_they_were_written(bits: int, group: int | None, transposed: bool) -> None:
    encoded = stored(bits, group)
    (site,) = find_compressed_matmuls(model(encoded, transposed=transposed))
    shape = (K, N) if transposed else (N, K)
    found = read_mant(site.graph, site.weights, shape, transposed=transposed)
    assert found.encoding == encoded.encoding
    for name in ("codes", "types", "scale"):
        assert np.array_equal(getattr(found, name), getattr(encoded, name)), name


def test_groups_that_fit_are_the_same_to_the_bit() -> None:
    """Values of 3 bits reach 3 a + 8: up to a = 30 they fit, and 128 of one sign with a = 40."""
    encoded = stored(3)
    largest = 3 * np.array(encoded.encoding.table)[encoded.types] + 8
    expanded = expand(encoded)
    before, after = (
        values.reshape(*encoded.types.shape, -1) for values in (decode(encoded), decode_integer(expanded.weights))
    )
    same = (before == after).all(axis=-1)
    assert same[largest <= 127].all()
    assert 0 < expanded.exact < 1
    assert same.mean() >= expanded.exact


def test_one_sign_of_128_fits_with_the_opposite_scale() -> None:
    powers = np.array([[1, 2, 4, 8, 16, 32, 64, 128.0] * 2], np.float32)
    for weights, exact in ((powers, 1), (-powers, 1), (powers * np.array([1, -1] * 8, np.float32), 1)):
        encoded = encode(weights, mant(4, GROUP))
        expanded = expand(encoded)
        assert expanded.exact == exact
        assert np.array_equal(decode_integer(expanded.weights), weights)
    both = np.concatenate([powers[:, :8], -powers[:, :8]], axis=1)
    assert expand(encode(both, mant(4, GROUP))).exact == 0


@pytest.mark.parametrize("bits", [3, 4])
def test_others_lose_little(bits: int) -> None:
    encoded = stored(bits)
    expanded = expand(encoded)
    lost = decode_integer(expanded.weights) - decode(encoded)
    largest = np.abs(decode(encoded)).reshape(*encoded.types.shape, -1).max(axis=-1)
    assert (np.abs(lost).reshape(*encoded.types.shape, -1) <= 0.501 * largest[..., None] / 127).all()
    assert expanded.error == pytest.approx(np.linalg.norm(lost) / np.linalg.norm(decode(encoded)), rel=1e-3)
    assert expanded.error < 0.01


@pytest.mark.parametrize("transposed", [False, True])
def test_the_pass_makes_weights_that_plugins_keep(transposed: bool) -> None:
    expansion = ExpandWeights(("linear",))
    done = PassManager([expansion]).run(model(stored(4), transposed=transposed)).model
    (site,) = find_compressed_matmuls(done)
    assert (site.format, site.weight_type, site.weight_group_size, site.symmetric) == ("integer", "i8", GROUP, True)
    expected = decode_integer(expansion.found["linear"].weights)
    computed = evaluate(site.matmul.input_value(1))
    assert np.array_equal(computed.T if transposed else computed, expected)


def test_other_weights_are_refused() -> None:
    with pytest.raises(PassError, match="only M-ANT"):
        PassManager([ExpandWeights(("linear",))]).run(linear_model("w_i8_sym_ch"))
