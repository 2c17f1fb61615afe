"""Read integer weights as 8-bit codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """Weights `codes - zero_point`: i8 codes without a zero point, or u8 codes with or without one a channel."""

    element_type: str
    codes: Array
    zero_point: Array | None


def recoded(weights: Array, channel_axis: int) -> Stored | None:
    """The 8-bit form of integer weights, a matrix of i32; None where their range is too wide.

    i8 without a zero point where they fit, else u8 with the same one for all channels, else with one for each.
    """
    if int(weights.min()) >= -128 and int(weights.max()) <= 127:
        return Stored("i8", weights.astype("int8"), None)
    for axis in (None, 1 - channel_axis):
        zero_point = (-weights.min(axis=axis, keepdims=True)).clip(0, 255)
        codes = weights + zero_point
        if codes.min() >= 0 and codes.max() <= 255:
            # The GPU plugin fuses Q, K and V only where each channel has a zero point of its own (measured).
            each = zero_point.astype("uint8").repeat(weights.shape[channel_axis] // zero_point.size, axis=channel_axis)
            return Stored("u8", codes.astype("uint8"), each if each.any() else None)
    return None
