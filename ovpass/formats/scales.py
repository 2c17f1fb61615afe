"""Scales of groups of weights: how they are stored and applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ovpass.formats.base import EncodedWeights
from ovpass.formats.float_types import values_by_code

if TYPE_CHECKING:
    from ovpass.ir.graph import Array


def in_groups(weights: Array, group_size: int | None) -> Array:
    """Weights [..., N, K] as f32 [..., N, groups, elements]; None makes one group of all K.

    Raises:
        ValueError: where groups do not divide K.
    """
    k = weights.shape[-1]
    group = group_size or k
    if k % group:
        raise ValueError(f"groups of {group} do not divide K={k}")
    return np.asarray(weights, np.float32).reshape(*weights.shape[:-1], k // group, group)


def stored_scales(wanted: Array, scale_type: str) -> tuple[Array, Array | None]:
    """Scales (f32, none negative) as their type holds them, 1 for 0, and the scale of the tensor for f8e4m3.

    They are rounded up, so that the largest weight of a group stays within reach of the codes.

    Raises:
        ValueError: for another type, and for scales that the type does not hold.
    """
    wanted = np.where(wanted > 0, wanted, np.float32(1))
    if scale_type == "f8e4m3":
        return _in_two_levels(wanted)
    if scale_type not in _ROUNDED_UP:
        raise ValueError(f"scales in {scale_type}; {', '.join(_ROUNDED_UP)} and f8e4m3 are known")
    with np.errstate(over="ignore"):
        stored = _ROUNDED_UP[scale_type](wanted)
    if not np.isfinite(stored).all():
        raise ValueError(f"a scale of {wanted.max()} is beyond {scale_type}")
    return stored, None


def whole(scale: Array, tensor_scale: Array | None) -> Array:
    """The scales [..., N, groups] with that of the tensor, f32."""
    return scale if tensor_scale is None else np.asarray(scale * tensor_scale)


def scaled(values: Array, encoded: EncodedWeights) -> Array:
    """(value - zero point) * scale [..., N, K] in f32, of the values [..., N, K] that codes stand for."""
    found = values.astype(np.float32).reshape(*values.shape[:-1], encoded.groups, -1)
    if encoded.zero_point is not None:
        found = found - encoded.zero_point[..., None].astype(np.float32)
    if encoded.scale is not None:
        found = found * whole(encoded.scale, encoded.tensor_scale)[..., None]
    return found.reshape(values.shape)


def _in_two_levels(wanted: Array) -> tuple[Array, Array]:
    """As NVFP4: scales in f8e4m3 that use its whole range, times one f32 number."""
    levels = values_by_code("f8e4m3")[:127]
    tensor_scale = np.asarray(wanted.max() / levels[-1], np.float32)
    index = np.searchsorted(levels, wanted / tensor_scale)
    return levels[np.clip(index, 1, len(levels) - 1)], tensor_scale


def _f16(wanted: Array) -> Array:
    nearest = wanted.astype(np.float16)
    up = np.where(nearest < wanted, np.nextafter(nearest, np.float16(np.inf)), nearest)
    return np.asarray(up, np.float32)


def _bf16(wanted: Array) -> Array:
    bits = (wanted.astype(np.float32).view(np.uint32) + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)
    return np.asarray(bits.view(np.float32))


def _power_of_two(wanted: Array) -> Array:
    mantissa, exponent = np.frexp(wanted)
    power = np.where(mantissa > 0.5, exponent, exponent - 1)
    return np.asarray(np.ldexp(np.float32(1), np.maximum(power, -127)), np.float32)


_ROUNDED_UP: dict[str, Callable[[Array], Array]] = {
    "f16": _f16,
    "bf16": _bf16,
    "f32": np.asarray,
    "f8e8m0": _power_of_two,
}
