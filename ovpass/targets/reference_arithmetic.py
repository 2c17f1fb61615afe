"""Dynamic quantization in NumPy: the GPU kernel's half-precision arithmetic, and the CPU plugin's in f32.

ovpass/passes/quantizers.py has the formulas and their sources, and builds the same arithmetic in public ops. Tests
compare those ops, recorded codes of the kernels, and the CPU plugin with this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.formats.float_types import nearest_codes, values_by_code

Array = npt.NDArray[Any]

_FLOOR = np.float16(0.003)
_TINY = np.float32(1e-30)
_SMALLEST_HALF = np.float32(2.0**-24)
_SMALLEST_F8E4M3 = np.float32(2.0**-9)


@dataclass(frozen=True)
class Quantized:
    """Codes of an activation [..., groups, elements], and a scale and zero point for each group, all as f32."""

    codes: Array
    scale: Array
    zero_point: Array

    @property
    def values(self) -> Array:
        """What the codes stand for."""
        return (self.codes - self.zero_point) * self.scale


def quantized(x: Array, *, symmetric: bool, half: bool) -> Quantized:
    """Quantize along the last axis."""
    model = {
        (True, True): _symmetric_half,
        (False, True): _asymmetric_half,
        (True, False): _symmetric,
        (False, False): _asymmetric,
    }[symmetric, half]
    return Quantized(*(np.asarray(part, np.float32) for part in model(x)))


def dequantized(x: Array, group_size: int, *, axis: int = -1, symmetric: bool = True, half: bool = False) -> Array:
    """What is left of an activation after quantization in groups along `axis`; a larger group is all of it.

    Where the group does not divide the axis, the last one is shorter.
    """
    turned = np.moveaxis(x, axis, -1)
    length = turned.shape[-1]
    group = min(group_size, length)
    missing = -length % group
    padded = np.pad(turned, [(0, 0)] * (x.ndim - 1) + [(0, missing)])  # every range includes 0
    grouped = padded.reshape(*turned.shape[:-1], -1, group)
    values = quantized(grouped, symmetric=symmetric, half=half).values.reshape(padded.shape)
    return np.moveaxis(values[..., :length], -1, axis).astype(x.dtype)


def dequantized_float(x: Array, group_size: int, element_type: str) -> Array:
    """What is left of an activation after quantization to f8e4m3, f8e5m2 or f4e2m1, in groups along its last axis."""
    grouped = x.astype(np.float16).astype(np.float32).reshape(*x.shape[:-1], -1, min(group_size, x.shape[-1]))
    table = values_by_code(element_type)
    largest = table[np.isfinite(table)].max()
    factor = np.float32(largest) / np.maximum(np.abs(grouped).max(-1, keepdims=True), _SMALLEST_HALF)
    scaled = np.clip(grouped * factor, -largest, largest)
    scaled = scaled if element_type == "f4e2m1" else scaled.astype(np.float16).astype(np.float32)
    codes = table[nearest_codes(scaled, element_type)]
    if element_type == "f8e4m3":
        codes = np.where(np.abs(scaled) < _SMALLEST_F8E4M3, 0, codes)
    return np.asarray((codes * (np.float32(1) / factor)).reshape(x.shape), np.float32)


def _symmetric(x: Array) -> tuple[Array, ...]:
    x = x.astype(np.float32)
    scale = np.maximum(np.abs(x).max(-1, keepdims=True), _TINY) / np.float32(127)
    return np.rint(x / scale), scale, np.zeros_like(scale)


def _asymmetric(x: Array) -> tuple[Array, ...]:
    x = x.astype(np.float32)
    low, high = np.minimum(x.min(-1, keepdims=True), 0), np.maximum(x.max(-1, keepdims=True), 0)
    scale = np.maximum(high - low, _TINY) / np.float32(255)
    zero_point = np.rint(-low / scale)
    return np.clip(np.rint(x / scale) + zero_point, 0, 255), scale, zero_point


def _symmetric_half(x: Array) -> tuple[Array, ...]:
    x = x.astype(np.float16)
    factor = np.float16(127) / np.maximum(np.abs(x).max(-1, keepdims=True), _FLOOR)
    return np.clip(np.rint(x * factor), -128, 127), np.float16(1) / factor, np.zeros_like(factor)


def _asymmetric_half(x: Array) -> tuple[Array, ...]:
    x = x.astype(np.float16)
    low, high = np.minimum(x.min(-1, keepdims=True), np.float16(0)), np.maximum(x.max(-1, keepdims=True), _FLOOR)
    with np.errstate(over="ignore", invalid="ignore"):
        factor = np.float16(255) / (high - low)  # infinite for a range below 0.0039: everything becomes 0
        zero_point = np.nan_to_num(np.floor(-low * factor), nan=0, posinf=0)
        codes = np.clip(np.nan_to_num(np.rint(x * factor + zero_point), nan=0), 0, 255)
    return codes, np.float16(1) / factor, zero_point
