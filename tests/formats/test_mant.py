"""M-ANT: types are the best of their kind, and what is decoded, written and computed is the same to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, Encoding
from ovpass.formats.mant import choose, decode, encode, round_to
from ovpass.formats.mant_encoding import COEFFICIENTS, MantWeights, integers, magnitudes, mant
from ovpass.formats.scales import in_groups
from ovpass.ir.constant_folding import evaluate
from tests.formats.encodings import MANT, label

Array = npt.NDArray[Any]

GROUP, K = 16, 64
WEIGHTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.just(K)),
    elements=st.floats(-8, 8, width=32, allow_subnormal=False) | st.sampled_from([0.0, 1.0, -8.0, 1e-6]),
)
QUICK = settings(max_examples=40, deadline=None)
RNG = np.random.default_rng(3)


def encoded(weights: Array, encoding: Encoding) -> MantWeights:
    stored = encode(weights, encoding)
    assert isinstance(stored, MantWeights)
    return stored


@pytest.mark.parametrize("encoding", MANT, ids=label)
@QUICK
@given(weights=WEIGHTS)
def test_values_are_the_nearest_of_the_type(encoding: Encoding, weights: Array) -> None:
    stored = encoded(weights, encoding)
    assert stored.scale is not None
    positive = magnitudes(encoding)[stored.types] * stored.scale[..., None]  # [N, groups, values]
    choices = np.concatenate([-positive, positive], axis=-1)
    distances = np.abs(in_groups(weights, encoding.group_size)[..., None] - choices[..., None, :]).min(axis=-1)
    lost = np.abs(in_groups(weights - decode(stored), encoding.group_size))
    assert (lost <= distances + 4 * np.finfo(np.float32).eps * np.abs(choices).max()).all()


@pytest.mark.parametrize("encoding", MANT, ids=label)
@QUICK
@given(weights=WEIGHTS)
def test_what_is_decoded_is_encoded_to_the_same(encoding: Encoding, weights: Array) -> None:
    stored = encoded(weights, encoding)
    assert stored.scale is not None
    again = round_to(in_groups(decode(stored), encoding.group_size), stored.types, stored.scale, encoding)
    assert np.array_equal(again.codes, stored.codes)


@pytest.mark.parametrize("importance", [None, np.exp(2 * RNG.standard_normal((K // GROUP, GROUP))).astype(np.float32)])
def test_the_chosen_type_and_scale_are_the_best(importance: Array | None) -> None:
    """To the width of the bins by which errors are tabulated."""
    groups = RNG.standard_t(4, (32, K // GROUP, GROUP)).astype(np.float32)
    factors = (0.8, 0.9, 1.0)
    own = mant(4, GROUP)
    weight = np.ones(1) if importance is None else importance
    types, scale = choose(groups, own, importance, factors)
    least = np.full(types.shape, np.inf)
    for index in range(len(COEFFICIENTS)):
        for factor in factors:
            every = np.full(types.shape, index, np.uint8)
            tried = np.abs(groups).max(axis=-1) * np.float32(factor) / magnitudes(own)[index, -1]
            values = decode(round_to(groups, every, tried, own)).reshape(groups.shape)
            least = np.minimum(least, (weight * (values - groups) ** 2).sum(axis=-1))
    values = decode(round_to(groups, types, scale, own)).reshape(groups.shape)
    lost = (weight * (values - groups) ** 2).sum(axis=-1)
    assert (lost <= 1.1 * least).all()
    assert lost.sum() <= 1.01 * least.sum()


@pytest.mark.parametrize("bits", [3, 4])
def test_types_reach_from_powers_of_two_to_integers(bits: int) -> None:
    table = magnitudes(mant(bits, None))
    assert np.array_equal(table[0], 2.0 ** np.arange(2 ** (bits - 1)))
    steps = np.diff(table[-1])[1:]
    assert steps.max() / steps.min() < 1.6
    assert np.array_equal(table, table.astype(np.float16))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("encoding", MANT, ids=label)
def test_openvino_computes_what_is_decoded_to_the_bit(encoding: Encoding, transposed: bool) -> None:
    stored = encoded(RNG.standard_normal((6, K)).astype(np.float32), encoding)
    chain = FORMATS["mant"].write(stored, ChainForm("weight", "weight/", "f32", transposed=transposed))
    computed = evaluate(chain)
    assert np.array_equal(computed.T if transposed else computed, decode(stored))
    assert np.array_equal(integers(stored), np.rint(integers(stored)))


def test_groups_of_zeros_stay_zero() -> None:
    stored = encoded(np.zeros((2, K), np.float32), mant(4, GROUP))
    assert not decode(stored).any()


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        (replace(mant(4, GROUP), element_type="u8"), "u3 and u4"),
        (replace(mant(4, GROUP), symmetric=False), "zero point"),
        (replace(mant(4, GROUP), table=tuple(range(17))), "1 to 16"),
        (replace(mant(4, GROUP), table=(-1,)), "0 to 256"),
        (replace(mant(4, GROUP), table=(0.5,)), "whole"),
        (mant(4, 48), "do not divide K=64"),
    ],
)
def test_what_does_not_exist_is_refused(encoding: Encoding, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        encode(np.ones((2, K), np.float32), encoding)


def test_weights_in_another_format_are_refused() -> None:
    other = FORMATS["integer"].encode(np.ones((2, K), np.float32), Encoding("integer", "i8"))
    for function in (decode, integers):
        with pytest.raises(ValueError, match="integer is not mant"):
            function(other)
