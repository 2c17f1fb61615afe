"""How far decoded weights lie from what was encoded, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from openvino import opset13 as op

from ovpass.formats import FORMATS, float_types
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.formats.codebook import stored_table
from ovpass.formats.integer import code_range
from ovpass.formats.scales import whole
from tests.formats.encodings import CODEBOOKS, ENCODINGS, FLOATS, INTEGERS, SCALES, label

Array = npt.NDArray[Any]

WEIGHTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.sampled_from([16, 48])),
    elements=st.floats(-8, 8, width=32, allow_subnormal=False) | st.sampled_from([0.0, 1.0, -8.0, 1e-6]),
)
QUICK = settings(max_examples=40, deadline=None)


def coded(weights: Array, encoding: Encoding) -> tuple[EncodedWeights, Array, Array]:
    """The encoded weights, decoded, and the scale of each."""
    known = FORMATS[encoding.format]
    stored = known.encode(weights, encoding)
    assert stored.scale is not None
    scale = whole(stored.scale, stored.tensor_scale)
    return stored, known.decode(stored), np.repeat(scale, weights.shape[-1] // scale.shape[-1], axis=-1)


@pytest.mark.parametrize("encoding", [*INTEGERS, *SCALES], ids=label)
@QUICK
@given(weights=WEIGHTS)
def test_integers_are_off_by_half_a_step_at_most(encoding: Encoding, weights: Array) -> None:
    stored, values, step = coded(weights, encoding)
    low, high = code_range(encoding.element_type)
    assert low <= stored.codes.min()
    assert stored.codes.max() <= high
    assert (np.abs(values - weights) <= step * np.float32(0.5001)).all()


@pytest.mark.parametrize("encoding", [*FLOATS, *CODEBOOKS], ids=label)
@QUICK
@given(weights=WEIGHTS)
def test_values_of_a_table_are_the_nearest(encoding: Encoding, weights: Array) -> None:
    _, values, scale = coded(weights, encoding)
    every = float_types.values_by_code(encoding.element_type) if not encoding.table else stored_table(encoding)
    choices = every[np.isfinite(every)].astype(np.float64)
    distances = np.abs(weights[..., None].astype(np.float64) / scale[..., None] - choices).min(axis=-1)
    rounding = (np.abs(weights) + np.abs(values)) * 2 * np.finfo(np.float32).eps
    assert (np.abs(values - weights) <= scale * distances + rounding).all()


@pytest.mark.parametrize("encoding", [*INTEGERS, *FLOATS, *CODEBOOKS, *SCALES], ids=label)
@QUICK
@given(weights=WEIGHTS)
def test_decoded_weights_keep_their_codes(encoding: Encoding, weights: Array) -> None:
    """With the scales that they have: new ones could be finer."""
    stored, values, scale = coded(weights, encoding)
    if encoding.format == "integer":
        shift = np.zeros(1) if stored.zero_point is None else np.atleast_1d(stored.zero_point)
        codes = np.rint(values / scale) + np.repeat(shift, weights.shape[-1] // shift.shape[-1], axis=-1)
    elif encoding.format == "float":
        codes = float_types.nearest_codes(values / scale, encoding.element_type)
    else:
        codes = float_types.nearest(values / scale, stored_table(encoding))
    assert np.array_equal(codes, stored.codes)


def test_powers_of_two_are_openvinos() -> None:
    codes = np.arange(256, dtype=np.uint8)
    tensor = ov.Tensor(ov.Type.f8e8m0, ov.Shape([256]))
    np.asarray(tensor.data).reshape(-1).view(np.uint8)[:] = codes
    assert np.array_equal(
        float_types.powers_of_two(codes), op.constant(tensor).get_data(dtype=np.float32), equal_nan=True
    )


@pytest.mark.parametrize("kind", ["nf4", "f4e2m1", "f8e4m3", "f8e5m2"])
def test_values_of_codes_are_openvinos(kind: str) -> None:
    values = float_types.values_by_code(kind)
    codes = np.arange(len(values), dtype=np.uint8)
    tensor = ov.Tensor(getattr(ov.Type, kind), ov.Shape([len(values)]))
    packed = codes if len(values) == 256 else codes[0::2] | (codes[1::2] << np.uint8(4))
    np.asarray(tensor.data).reshape(-1).view(np.uint8)[:] = packed
    read = op.constant(tensor).get_data(dtype=np.float32)
    assert np.array_equal(values, read, equal_nan=True)
    assert np.array_equal(np.signbit(values[read == 0]), np.signbit(read[read == 0]))


@pytest.mark.parametrize("kind", ["f4e2m1", "f8e4m3", "f8e5m2"])
@QUICK
@given(drawn=arrays(np.float32, 32, elements=st.floats(-1, 1, width=32)))
def test_rounding_is_openvinos(kind: str, drawn: Array) -> None:
    """Ties included: they are the middles of neighbours. OpenVINO rounds to f16 on the way."""
    table = float_types.values_by_code(kind)
    finite = np.unique(table[np.isfinite(table)])
    values = np.concatenate([drawn * finite[-1], drawn, (finite[1:] + finite[:-1]) / 2, finite])
    values = values.astype(np.float16).astype(np.float32)
    rounded = table[float_types.nearest_codes(values, kind)]
    assert np.array_equal(rounded, op.constant(values, dtype=getattr(ov.Type, kind)).get_data(dtype=np.float32))


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        (Encoding("integer", "u1"), "asymmetric"),
        (Encoding("integer", "nf4"), "nf4"),
        (Encoding("integer", "i4", 24), "do not divide K=64"),
        (Encoding("integer", "i4", scale_type="i8"), "scales in i8"),
        (Encoding("float", "nf4", symmetric=False), "symmetric"),
        (Encoding("float", "i4"), "i4"),
        (Encoding("codebook", "u2", table=(0.0, 1.0, 2.0, 3.0, 4.0)), "2 to 4"),
        (Encoding("codebook", "u4", table=(0.0, 1.0), table_type="i8"), "a table in i8"),
        (Encoding("codebook", "u4", table=(1.0, 0.0)), "ascending"),
        (Encoding("codebook", "u4", table=(1.0, 1.0001), table_type="f8e4m3"), "ascending"),
    ],
)
def test_what_no_encoding_is(encoding: Encoding, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FORMATS[encoding.format].encode(np.ones((2, 64), np.float32), encoding)


def test_a_scale_beyond_its_type_is_refused() -> None:
    encoding = Encoding("integer", "i8")
    huge = np.full((1, 16), 1e9, np.float32)
    with pytest.raises(ValueError, match="beyond f16"):
        FORMATS["integer"].encode(huge, encoding)
    FORMATS["integer"].encode(huge, replace(encoding, scale_type="f32"))


def test_weights_of_zero_stay_zero() -> None:
    for encoding in ENCODINGS:
        if encoding.table and 0 not in encoding.table:
            continue
        known = FORMATS[encoding.format]
        assert not known.decode(known.encode(np.zeros((2, 32), np.float32), encoding)).any(), label(encoding)
