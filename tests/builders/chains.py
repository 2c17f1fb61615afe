"""Weights of a format as constants and their decompression chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from .formats import WeightFormat, weight_format

Array = npt.NDArray[Any]

FLOAT_MAX = {"nf4": 1.0, "f8e4m3": 448.0, "f8e5m2": 448.0, "f4e2m1": 6.0}
"""Code of the largest weight of a group; not all of f8e5m2, whose scales would be subnormal in f16."""

_CB4_NEGATIVE = (-3.5, -2.5, -1.875, -1.375, -1.0, -0.625, -0.3125)
_CB4_POSITIVE = (0.28125, 0.5625, 0.875, 1.125, 1.5, 2.0, 2.5, 3.5)
CB4 = (*_CB4_NEGATIVE, 0.0, *_CB4_POSITIVE)
"""Sixteen values that f8e4m3 holds exactly, dense around zero."""


def constant(values: Array, kind: str, name: str) -> ov.Output:
    """A named Constant of any element type; float values are rounded to the nearest that `kind` holds."""
    node = op.constant(np.ascontiguousarray(values), dtype=getattr(ov.Type, kind))
    node.set_friendly_name(name)
    return node.output(0)


def weights(fmt: WeightFormat | str, n: int, k: int, seed: int = 0, name: str = "weight") -> ov.Output:
    """The decompression chain of random weights: [N, K] or [K, N], or 3-D if the format has a batch.

    Weights are drawn from N(0, 1/K), so that activations of size one give outputs of size one.
    """
    fmt = weight_format(fmt)
    shape = (*(() if fmt.batch is None else (fmt.batch,)), n, k)
    # not default_rng(seed): a test that draws its activations so would get the same numbers
    values = np.random.default_rng((seed, n, k)).normal(0.0, k**-0.5, shape).astype(np.float32)
    return compress(fmt, values, name)


def compress(fmt: WeightFormat | str, values: Array, name: str = "weight") -> ov.Output:
    """The decompression chain of given weights [..., N, K], quantized, stored and named by the format."""
    fmt = weight_format(fmt)
    stored, axis = _stored(fmt, values)
    if fmt.scale_type is None:
        node = _converted(constant(stored, fmt.type, name), fmt.compute)
    else:
        node = _scaled(fmt, stored, axis, name)
    node = _reshaped(fmt, node, values.shape)
    return _transposed(fmt, node)


def _stored(fmt: WeightFormat, values: Array) -> tuple[Array, int]:
    """The weights in the shape they are stored in, and the axis of it that a scale covers."""
    *batch, n, k = values.shape
    if fmt.group is not None:
        values = values.reshape(*batch, n, k // fmt.group, fmt.group)
    if fmt.layout != "KN":
        return values, -1
    return np.moveaxis(values, len(batch), -1), -2


def _scaled(fmt: WeightFormat, values: Array, axis: int, name: str) -> ov.Output:
    if fmt.symmetric and fmt.type.startswith("u") and fmt.codebook is None:
        values = np.abs(values)  # unsigned codes without a zero point hold no sign
    zero_point = _zero_point(fmt, values, axis)
    scale = _scale(fmt, values, axis, _span(fmt, zero_point))
    node = _codes(fmt, values / scale, zero_point, name)
    if fmt.zero_point is not None:
        kind = fmt.zero_point_type or fmt.type
        shift = _converted(constant(zero_point, kind, f"{name}/zero_point"), fmt.compute)
        subtract = op.subtract(node, shift)
        subtract.set_friendly_name(f"{name}/zero_point/subtract")
        node = subtract.output(0)
    multiply = op.multiply(node, _scale_node(fmt, scale, f"{name}/scale"))
    multiply.set_friendly_name(f"{name}/fq_weights_1")
    if fmt.second_multiply:
        half = constant(np.float32(0.5), fmt.compute, f"{name}/second_scale")
        multiply = op.multiply(multiply, half)
    return multiply.output(0)


def _range(kind: str) -> tuple[int, int]:
    bits = int(kind[1:])
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _zero_point(fmt: WeightFormat, values: Array, axis: int) -> Array:
    """Integer zero points near the middle of the range, different from one group to the next."""
    if fmt.zero_point is None:
        return np.zeros((), np.int32)
    low, high = _range(fmt.type)
    middle = (low + high + 1) // 2
    shape = {
        "group": _scale_shape(values, axis),
        "channel": _scale_shape(values, axis, axis - 1),
        "scalar": (),
    }[fmt.zero_point]
    jitter = 0 if fmt.zero_point == "scalar" else max(1, (high - low) // 16)
    return (middle - np.arange(np.prod(shape)) % (jitter + 1)).reshape(shape).astype(np.int32)


def _span(fmt: WeightFormat, zero_point: Array) -> Array | float:
    """The largest code, seen from the zero point."""
    if fmt.codebook is not None:
        return CB4[-1]
    if fmt.type in FLOAT_MAX:
        return FLOAT_MAX[fmt.type]
    return (_range(fmt.type)[1] - zero_point).astype(np.float32)


def _scale_shape(values: Array, *axes: int) -> tuple[int, ...]:
    shape = list(values.shape)
    for axis in axes:
        shape[axis] = 1
    return tuple(shape)


def _scale(fmt: WeightFormat, values: Array, axis: int, span: Array | float) -> Array:
    largest = np.abs(values).max(axis=None if fmt.scalar_scale else axis, keepdims=not fmt.scalar_scale)
    scale: Array = largest / span
    if fmt.scale_type == "f8e8m0":
        scale = np.exp2(np.ceil(np.log2(scale)))
    return scale


def _codes(fmt: WeightFormat, scaled: Array, zero_point: Array, name: str) -> ov.Output:
    if fmt.codebook is not None:
        return _looked_up(fmt, scaled, name)
    if fmt.type not in FLOAT_MAX:
        scaled = np.clip(np.rint(scaled) + zero_point, *_range(fmt.type)).astype(np.int32)
    return _converted(constant(scaled, fmt.type, name), fmt.compute)


def _looked_up(fmt: WeightFormat, scaled: Array, name: str) -> ov.Output:
    """Gather(table, indices): the packed weights are the Gather's second input."""
    table = np.interp(np.linspace(0, 15, _range(fmt.type)[1] + 1), np.arange(16), CB4)
    nearest = np.searchsorted((table[1:] + table[:-1]) / 2, scaled)
    # NNCF gives the table the name that the weights had
    entries = constant(table.astype(np.float32), fmt.codebook or "f16", name)
    indices = constant(nearest.astype(np.int32), fmt.type, f"{name}_nncf_codebook_idxs")
    return op.gather(_converted(entries, fmt.compute), _converted(indices, "u8"), op.constant(np.int64(0))).output(0)


def _scale_node(fmt: WeightFormat, scale: Array, name: str) -> ov.Output:
    assert fmt.scale_type is not None
    if not fmt.scale_product:
        return _converted(constant(scale.astype(np.float32), fmt.scale_type, name), fmt.compute)
    whole = scale.max() / FLOAT_MAX[fmt.scale_type]
    local = _converted(constant((scale / whole).astype(np.float32), fmt.scale_type, name), "f32")
    scalar = constant(np.full((1,) * scale.ndim, whole, np.float32), "f32", f"{name}/global")
    return _converted(op.multiply(local, scalar).output(0), fmt.compute)


def _converted(node: ov.Output, kind: str) -> ov.Output:
    if node.element_type == getattr(ov.Type, kind):
        return node
    return op.convert(node, kind).output(0)


def _reshaped(fmt: WeightFormat, node: ov.Output, shape: tuple[int, ...]) -> ov.Output:
    if not fmt.grouped:
        return node
    *batch, n, k = shape
    target = [*batch, k, n] if fmt.layout == "KN" else [*batch, n, k]
    return op.reshape(node, op.constant(np.array(target, np.int64)), special_zero=False).output(0)


def _transposed(fmt: WeightFormat, node: ov.Output) -> ov.Output:
    """The last Convert, and the Transpose of the layouts that have one, in their order."""
    before = fmt.layout == "NK-transposed-before-convert"
    if before:
        node = _swapped(node)
    node = _converted(node, fmt.output)
    return _swapped(node) if fmt.layout == "NK-transposed" else node


def _swapped(node: ov.Output) -> ov.Output:
    order = [*range(len(node.shape) - 2), len(node.shape) - 1, len(node.shape) - 2]
    return op.transpose(node, op.constant(np.array(order, np.int64))).output(0)
