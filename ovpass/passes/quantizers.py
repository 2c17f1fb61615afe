"""Quantize and dequantize an activation in public ops, with a device's arithmetic.

CPU (oneDNN's brgemm; bit-equal codes measured): s = max|x| / 127 in f32, code = round half even(x / s).
GPU (dynamic_quantize_gpu_opt.cl; its kernel's codes and scales bit for bit), every step in half precision:
m = max(0.003, max|x|), s = half(127 / m), code = round half even(half(x * s)), scale = half(1 / s).

Asymmetric, GPU: s = half(255 / half(max - min)) with max >= 0.003 and min <= 0, zero point = floor(half(-min * s)),
code = round half even(half(half(x * s) + zero point)). This gives all scales and zero points of the kernel and
99.9 % of its codes. Where s overflows (a range below 0.0039) the scale is 0, as in the kernel. The CPU has no such
mode, so the textbook form is used: s = (max - min) / 255 over a range that includes 0.

Floating point, GPU, from source (the same kernel with IS_F8_F4; nothing at hand runs it): m = max(2^-24, max|x|), s =
largest / m in f32, code = x * s rounded half even to the type, in f8 after rounding to half. Its conversion to f8e4m3
has no code for magnitudes below 2^-9. The scale is kept in f32; half would change it by 2^-12 at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import openvino as ov
from openvino import opset13 as op

_GPU_FLOOR = float(np.float16(0.003))
_CPU_FLOOR = 1e-30  # keeps an all-zero group from 0 / 0
_LARGEST_HALF = 65504.0
_SMALLEST_HALF = 2.0**-24
_F8E4M3 = "f8e4m3"
_FLUSHED = 2.0**-9


@dataclass(frozen=True)
class _Float:
    """A floating-point type: significant bits, smallest normal number, distance of numbers below it, largest number."""

    bits: int
    normal: float
    step: float
    largest: float
    by_half: bool


_HALF = _Float(11, 2.0**-14, 2.0**-24, _LARGEST_HALF, by_half=False)
_FLOATS = {
    _F8E4M3: _Float(4, 2.0**-6, 2.0**-9, 448.0, by_half=True),
    "f8e5m2": _Float(3, 2.0**-14, 2.0**-16, 57344.0, by_half=True),
    "f4e2m1": _Float(2, 1.0, 0.5, 6.0, by_half=False),
}


@dataclass(frozen=True)
class Codes:
    """What a quantizer makes, as f32 nodes: `codes`, `scale` and `zero_point` (None if symmetric)."""

    codes: ov.Node
    scale: ov.Node
    zero_point: ov.Node | None

    def dequantized(self, name: Callable[[ov.Node], ov.Node]) -> ov.Node:
        """(codes - zero point) * scale."""
        centred = self.codes if self.zero_point is None else name(op.subtract(self.codes, self.zero_point))
        return name(op.multiply(centred, self.scale))


class Quantizer:
    """Builds a quantizer's nodes along one axis; `name` marks every node that is inserted."""

    def __init__(self, axis: int, name: Callable[[ov.Node, str], ov.Node]) -> None:
        self._axis = axis
        self._name = name
        self._numbers = count()
        self._constants: dict[float, ov.Node] = {}

    def build(self, x: ov.Node, *, symmetric: bool, half: bool) -> Codes:
        """Quantize `x` (f32) with one scale along the axis, in the GPU's (`half`) or the CPU's arithmetic."""
        if half:
            return self._symmetric_half(x) if symmetric else self._asymmetric_half(x)
        return self._symmetric(x) if symmetric else self._asymmetric(x)

    def build_float(self, x: ov.Node, element_type: str) -> Codes:
        """Quantize `x` (f32) to f8e4m3, f8e5m2 or f4e2m1 with one scale along the axis, as the GPU does."""
        kind = _FLOATS[element_type]
        x = self.half(x)
        largest = self(op.maximum, self._reduce(op.reduce_max, self(op.abs, x)), _SMALLEST_HALF)
        factor = self(op.divide, kind.largest, largest)
        scaled = self(op.multiply, x, factor)
        scaled = self.half(scaled) if kind.by_half else scaled
        codes = self._clamp(self._rounded(scaled, kind), -kind.largest, kind.largest)
        if element_type == _F8E4M3:
            codes = self(op.select, self(op.less, self(op.abs, scaled), _FLUSHED), 0.0, codes)
        return Codes(codes, self(op.divide, 1.0, factor), None)

    def dequantized(self, codes: Codes) -> ov.Node:
        """The values that the codes stand for, in f32."""
        return codes.dequantized(self._mark)

    def _symmetric(self, x: ov.Node) -> Codes:
        largest = self(op.maximum, self._reduce(op.reduce_max, self(op.abs, x)), _CPU_FLOOR)
        scale = self(op.divide, largest, 127.0)
        return Codes(self._round(self(op.divide, x, scale)), scale, None)

    def _asymmetric(self, x: ov.Node) -> Codes:
        low = self(op.minimum, self._reduce(op.reduce_min, x), 0.0)
        high = self(op.maximum, self._reduce(op.reduce_max, x), 0.0)
        span = self(op.maximum, self(op.subtract, high, low), _CPU_FLOOR)
        scale = self(op.divide, span, 255.0)
        zero_point = self._round(self(op.divide, self(op.negative, low), scale))
        codes = self(op.add, self._round(self(op.divide, x, scale)), zero_point)
        return Codes(self._clamp(codes, 0.0, 255.0), scale, zero_point)

    def _symmetric_half(self, x: ov.Node) -> Codes:
        x = self.half(x)
        largest = self(op.maximum, self._reduce(op.reduce_max, self(op.abs, x)), _GPU_FLOOR)
        factor = self.half(self(op.divide, 127.0, largest))
        codes = self._round(self._half_of_normal(self(op.multiply, x, factor)))
        return Codes(self._clamp(codes, -128.0, 127.0), self.half(self(op.divide, 1.0, factor)), None)

    def _asymmetric_half(self, x: ov.Node) -> Codes:
        x = self.half(x)
        low = self(op.minimum, self._reduce(op.reduce_min, x), 0.0)
        high = self(op.maximum, self._reduce(op.reduce_max, x), _GPU_FLOOR)
        factor = self.half(self(op.divide, 255.0, self.half(self(op.subtract, high, low))))
        zero_point = self(op.floor, self.half(self(op.multiply, self(op.negative, low), factor)))
        shifted = self(op.add, self.half(self(op.multiply, x, factor)), zero_point)
        codes = self._round(self._half_of_normal(shifted))
        overflow = self(op.greater, factor, _LARGEST_HALF)
        scale = self(op.select, overflow, 0.0, self.half(self(op.divide, 1.0, factor)))
        return Codes(self._clamp(codes, 0.0, 255.0), scale, zero_point)

    def half(self, x: ov.Node) -> ov.Node:
        """`x` rounded to half precision, held in f32: exact for |x| < 65520, subnormal numbers included.

        A Convert to f16 and back would be clearer, but the CPU plugin removes it.
        """
        return self._rounded(x, _HALF)

    def _half_of_normal(self, x: ov.Node) -> ov.Node:
        return self._split(x, _HALF.bits)

    def _rounded(self, x: ov.Node, kind: _Float) -> ov.Node:
        """`x` rounded to a floating-point type, half to even, without its limits."""
        steps = self._round(self(op.multiply, x, 1 / kind.step))
        subnormal = self(op.less, self(op.abs, x), kind.normal)
        return self(op.select, subnormal, self(op.divide, steps, 1 / kind.step), self._split(x, kind.bits))

    def _split(self, x: ov.Node, bits: int) -> ov.Node:
        """Veltkamp's splitting: the upper of an f32's 24 significant bits, rounded to nearest."""
        shifted = self(op.multiply, x, 2.0 ** (24 - bits) + 1)
        return self(op.subtract, shifted, self(op.subtract, shifted, x))

    def _reduce(self, reduction: Callable[..., ov.Node], x: ov.Node) -> ov.Node:
        axis = self._mark(op.constant(np.array([self._axis], dtype=np.int64)))
        return self._mark(reduction(x, axis, keep_dims=True))

    def _round(self, x: ov.Node) -> ov.Node:
        return self._mark(op.round(x, "half_to_even"))

    def _clamp(self, x: ov.Node, low: float, high: float) -> ov.Node:
        return self._mark(op.clamp(x, low, high))

    def _mark(self, node: ov.Node) -> ov.Node:
        return self._name(node, f"quantizer.{next(self._numbers)}")

    def __call__(self, build: Callable[..., ov.Node], *operands: ov.Node | float) -> ov.Node:
        """A marked node; numbers become f32 Constants."""
        return self._mark(build(*(self._operand(operand) for operand in operands)))

    def _operand(self, operand: ov.Node | float) -> ov.Node:
        if not isinstance(operand, float):
            return operand
        if operand not in self._constants:
            self._constants[operand] = self._mark(op.constant(np.float32(operand)))
        return self._constants[operand]
