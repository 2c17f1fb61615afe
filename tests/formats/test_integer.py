"""Integer weights in 8 bits are the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ovpass.formats import integer
from ovpass.formats.integer import in_8_bits


@pytest.mark.parametrize(
    ("low", "high", "kind", "shifted"),
    [
        (-128, 127, "i8", False),
        (0, 100, "i8", False),
        (0, 255, "u8", False),
        (-126, 129, "u8", True),
        (-255, 0, "u8", True),
    ],
)
def test_a_range_of_the_tensor(low: int, high: int, kind: str, shifted: bool) -> None:
    weights = np.linspace(low, high, 60).round().astype(np.int32).reshape(6, 10)
    stored = in_8_bits(weights)
    assert stored is not None
    assert (stored.encoding.element_type, stored.zero_point is not None) == (kind, shifted)
    assert stored.codes.dtype == ("int8" if kind == "i8" else "uint8")
    zero_point = np.int32(0) if stored.zero_point is None else stored.zero_point.astype(np.int32)
    assert np.array_equal(stored.codes - zero_point, weights)


def test_a_range_for_each_channel() -> None:
    weights = np.array([[0, 255, 7], [-255, 0, -7], [-100, 155, 0]], np.int32)
    stored = in_8_bits(weights)
    assert stored is not None
    assert stored.zero_point is not None
    assert stored.zero_point.shape == (3, 1)
    assert np.array_equal(stored.codes.astype(np.int32) - stored.zero_point, weights)
    assert np.array_equal(integer.decode(stored), weights)


def test_what_8_bits_do_not_hold() -> None:
    assert in_8_bits(np.array([[-129, 128]], np.int32)) is None
    assert in_8_bits(np.array([[5], [300]], np.int32)) is None
    assert in_8_bits(np.array([[0, 256]], np.int32)) is None
    assert in_8_bits(np.array([[-255, 1]], np.int32)) is None
