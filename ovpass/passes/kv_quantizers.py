"""Quantize and dequantize keys and values in public ops.

u8 and u4 (the CPU plugin's attn_quant.cpp): scale = (max - min) / 255 or 15, or 1e-4 where that is 0; zero point =
-min / scale, not rounded; code = round half even(x / scale + zero point).
i8 (Intel GPUs, pa_kv_cache_update_ref.cl): factor = 255 / (max - min), or over 0.001 where that is 0; zero point =
-min * factor - 128, both in half precision; code = round half even(x * factor + zero point); scale = half(1 / factor).
i4: symmetric, scale = max|x| / 7.
mant4: the coefficient a by the variance of the group, as in M-ANT (arXiv 2502.18755, section V), and a scale by which
the largest value of the type meets max|x|. mant4a: the same for distances from the middle between the least and the
largest value, which is stored besides: channels of keys lie far from zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.mant_encoding import magnitudes, mant
from ovpass.formats.mant_types import variance_limits

Array = npt.NDArray[Any]
Namer = Callable[[ov.Node, str], ov.Node]

_NO_RANGE = 1e-4
_NO_RANGE_GPU = 0.001
_TINY = 1e-30
_LAST = np.array([-1], np.int64)


def quantized(element_type: str, x: ov.Output, axis: int, length: int, name: Namer) -> ov.Node:
    """`x` (f32) after one way through the type, with one scale for the `length` elements along `axis`.

    `name` marks every node.
    """
    return _QUANTIZERS[element_type](_Builder(name, axis, length), x)


class _Builder:
    """Builds marked nodes; numbers become f32 Constants."""

    def __init__(self, name: Namer, axis: int, length: int) -> None:
        self.length = length
        self._name, self._axis, self._count = name, axis, 0

    def __call__(self, build: Callable[..., ov.Node], *operands: ov.Node | float) -> ov.Node:
        nodes = [self.constant(np.float32(each)) if isinstance(each, float) else each for each in operands]
        return self.mark(build(*nodes))

    def mark(self, node: ov.Node) -> ov.Node:
        self._count += 1
        return self._name(node, f"kv.{self._count}")

    def constant(self, value: object) -> ov.Node:
        return self.mark(op.constant(value))

    def reduce(self, build: Callable[..., ov.Node], x: ov.Node) -> ov.Node:
        return self.mark(build(x, self.constant(np.array([self._axis], np.int64)), keep_dims=True))

    def largest(self, x: ov.Node) -> ov.Node:
        return self(op.maximum, self.reduce(op.reduce_max, self(op.abs, x)), _TINY)

    def rounded(self, x: ov.Node, low: float, high: float) -> ov.Node:
        return self.mark(op.clamp(self.mark(op.round(x, "half_to_even")), low, high))

    def number_above(self, x: ov.Node, limits: ov.Node) -> ov.Node:
        """How many of the limits, along their last axis, each value exceeds, in f32.

        All in one comparison: chains of operations on single elements need more registers than CPUs without AVX-512
        have, and the plugin then refuses the model.
        """
        above = self(op.greater, self.mark(op.unsqueeze(x, self.constant(_LAST))), limits)
        return self.mark(op.reduce_sum(self.mark(op.convert(above, "f32")), self.constant(_LAST)))

    def entries(self, table: Array, index: ov.Node) -> ov.Node:
        """The entries (f32) of `table`, along its first axis, that an index in f32 names."""
        whole = self.mark(op.convert(index, "i32"))
        return self.mark(op.gather(self.constant(table), whole, self.constant(np.int64(0))))

    def half(self, x: ov.Node) -> ov.Node:
        """Rounded to 11 significant bits by Veltkamp's splitting; a Convert to f16 and back would be removed."""
        shifted = self(op.multiply, x, 2.0**13 + 1)
        return self(op.subtract, shifted, self(op.subtract, shifted, x))


def _asymmetric(b: _Builder, x: ov.Node, levels: float) -> ov.Node:
    low, high = b.reduce(op.reduce_min, x), b.reduce(op.reduce_max, x)
    scale = b(op.divide, b(op.subtract, high, low), levels)
    scale = b(op.select, b(op.equal, scale, 0.0), _NO_RANGE, scale)
    zero_point = b(op.divide, b(op.negative, low), scale)
    codes = b.rounded(b(op.add, b(op.multiply, x, b(op.divide, 1.0, scale)), zero_point), 0.0, levels)
    return b(op.multiply, b(op.subtract, codes, zero_point), scale)


def _of_gpu(b: _Builder, x: ov.Node) -> ov.Node:
    low, high = b.reduce(op.reduce_min, x), b.reduce(op.reduce_max, x)
    span = b(op.subtract, high, low)
    factor = b(op.divide, 255.0, b(op.select, b(op.equal, span, 0.0), _NO_RANGE_GPU, span))
    zero_point = b.half(b(op.subtract, b(op.multiply, b(op.negative, low), factor), 128.0))
    factor = b.half(factor)
    codes = b.rounded(b(op.add, b(op.multiply, x, factor), zero_point), -128.0, 127.0)
    return b(op.multiply, b(op.subtract, codes, zero_point), b.half(b(op.divide, 1.0, factor)))


def _symmetric(b: _Builder, x: ov.Node) -> ov.Node:
    scale = b(op.divide, b.largest(x), 7.0)
    return b(op.multiply, b.rounded(b(op.divide, x, scale), -7.0, 7.0), scale)


def _mant(b: _Builder, x: ov.Node) -> ov.Node:
    largest = b.largest(x)
    unit = b(op.divide, x, largest)
    variance = b.reduce(op.reduce_mean, b(op.multiply, unit, unit))
    kind = b.number_above(variance, b.constant(np.array(variance_limits(b.length), np.float32)))
    table = magnitudes(mant(4, None))
    table = (table / table[:, -1:]).astype(np.float32)
    halfway = (table[:, :-1] + table[:, 1:]) * np.float32(0.5)
    code = b.number_above(b(op.abs, unit), b.entries(halfway, kind))
    value = b.entries(table.ravel(), b(op.add, b(op.multiply, kind, float(table.shape[1])), code))
    return b(op.multiply, b(op.select, b(op.less, unit, 0.0), b(op.negative, value), value), largest)


def _mant_around_middle(b: _Builder, x: ov.Output) -> ov.Node:
    low, high = b.reduce(op.reduce_min, x), b.reduce(op.reduce_max, x)
    middle = b(op.multiply, b(op.add, low, high), 0.5)
    return b(op.add, _mant(b, b(op.subtract, x, middle).output(0)), middle)


_QUANTIZERS: dict[str, Callable[[_Builder, ov.Node], ov.Node]] = {
    "u8": lambda b, x: _asymmetric(b, x, 255.0),
    "u4": lambda b, x: _asymmetric(b, x, 15.0),
    "i8": _of_gpu,
    "i4": _symmetric,
    "mant4": _mant,
    "mant4a": _mant_around_middle,
}
