"""Insert quantize and dequantize ops before a MatMul."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.passes.editing import feed, marker, small_constant
from ovpass.passes.locate import locate
from ovpass.passes.quantizers import Quantizer
from ovpass.sites import CompressedMatMul


@dataclass(frozen=True)
class ActivationQuantizer:
    """How one activation is quantized: group size and axis as the MatMul reads it, threshold in tokens.

    `half` takes the GPU kernel's half-precision arithmetic instead of the CPU's f32. For weights in the types `floats`
    the activation is quantized to their type instead of 8-bit integers.
    """

    group_size: int
    threshold: int
    axis: int
    symmetric: bool
    half: bool
    floats: tuple[str, ...] = ()

    def element_type(self, site: CompressedMatMul) -> str | None:
        """The floating-point type of the codes, None for integers."""
        return site.weight_type if site.weight_type in self.floats else None


@dataclass(frozen=True)
class Emulate:
    """Insert a quantizer before each of `sites`; sites of one activation and one quantizer share it."""

    sites: Mapping[str, ActivationQuantizer]
    name: ClassVar[str] = "emulate"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Insert the quantizers."""
        shared: dict[tuple[object, ...], list[CompressedMatMul]] = defaultdict(list)
        for site in locate(model, self.sites):
            options = self.sites[site.name]
            shared[site.group_id, site.transposed_activation, options, options.element_type(site)].append(site)
        for sites in shared.values():
            output = _quantizer(sites[0], self.sites[sites[0].name])
            for site in sites:
                feed(site, output)
        return {"sites": len(self.sites), "quantizers": len(shared)}


def _quantizer(site: CompressedMatMul, options: ActivationQuantizer) -> ov.Output:
    """The site's activation, quantized and dequantized where there are more tokens than the threshold."""
    name = marker(site.matmul)
    original = site.activation
    x = original
    if original.get_element_type() != ov.Type.f32:
        x = name(op.convert(original, ov.Type.f32), "to_f32").output(0)
    y = _in_groups(site, x, options)
    if original.get_element_type() != ov.Type.f32:
        y = name(op.convert(y, original.get_element_type()), "from_f32")
    if options.threshold:
        y = name(op.select(_enough_tokens(site, options), y, original), "select")
    return y.output(0)


def _in_groups(site: CompressedMatMul, x: ov.Output, options: ActivationQuantizer) -> ov.Node:
    """Quantize with one scale along the axis, or with one for each group of it."""
    axis, length = site.activation_axis(options.axis), site.axis_length(options.axis)
    if length is None or options.group_size >= length:
        return _apply(site, Quantizer(axis, marker(site.matmul)), x, options)
    if axis == -1:
        return _along_last(site, x, length, options)
    name, rank = marker(site.matmul), site.activation_rank or 0
    order = [*(i for i in range(rank) if i != rank + axis), rank + axis]
    turned = name(op.transpose(x, small_constant(order, np.int64, site.matmul, "order")), "to_last")
    y = _along_last(site, turned.output(0), length, options)
    back = np.argsort(order).tolist()
    return name(op.transpose(y, small_constant(back, np.int64, site.matmul, "back")), "from_last")


def _along_last(site: CompressedMatMul, x: ov.Output, length: int, options: ActivationQuantizer) -> ov.Node:
    """Split the last axis into groups, quantize each, and join them again; the last group can be a shorter one."""
    owner, name = site.matmul, marker(site.matmul)
    others = [0] * ((site.activation_rank or 0) - 1)
    count = -(-length // options.group_size)
    missing = count * options.group_size - length
    whole = _padded(site, x, [*others, missing]) if missing else x
    groups = small_constant([*others, count, options.group_size], np.int64, owner, "groups")
    split = name(op.reshape(whole, groups, True), "split")
    y = _apply(site, Quantizer(-1, name), split.output(0), options)
    joined = small_constant([*others, length + missing], np.int64, owner, "joined_shape")
    y = name(op.reshape(y, joined, True), "joined")
    return _shortened(site, y, length) if missing else y


def _padded(site: CompressedMatMul, x: ov.Output, amounts: Sequence[int]) -> ov.Output:
    """`x` with zeros at the ends of its axes: no scale depends on them, since every range includes 0."""
    owner, name = site.matmul, marker(site.matmul)
    none = small_constant([0] * len(amounts), np.int64, owner, "pad_begin")
    ends = small_constant(list(amounts), np.int64, owner, "pad_end")
    zero = small_constant(0, np.float32, owner, "pad_value")
    return name(op.pad(x, none, ends, "constant", zero), "padded").output(0)


def _shortened(site: CompressedMatMul, x: ov.Node, length: int) -> ov.Node:
    owner, name = site.matmul, marker(site.matmul)
    start, stop, step, axis = (
        small_constant([value], np.int64, owner, role)
        for value, role in ((0, "first"), (length, "stop"), (1, "step"), (-1, "slice_axis"))
    )
    return name(op.slice(x, start, stop, step, axis), "shortened")


def _apply(site: CompressedMatMul, quantizer: Quantizer, x: ov.Output, options: ActivationQuantizer) -> ov.Node:
    element_type = options.element_type(site)
    if element_type is not None:
        return quantizer.dequantized(quantizer.build_float(x, element_type))
    return quantizer.dequantized(quantizer.build(x, symmetric=options.symmetric, half=options.half))


def _enough_tokens(site: CompressedMatMul, options: ActivationQuantizer) -> ov.Node:
    """Whether the activation has more tokens than the threshold, told at run time from its shape."""
    owner, name = site.matmul, marker(site.matmul)
    rank = site.activation_rank or 0
    token_axes = [i for i in range(rank) if i != rank + site.activation_axis(-1)]
    shape = name(op.shape_of(site.activation, "i64"), "shape")
    axes = small_constant(token_axes, np.int64, owner, "token_axes")
    sizes = name(op.gather(shape, axes, small_constant(0, np.int64, owner, "first")), "sizes")
    tokens = name(op.reduce_prod(sizes, small_constant([0], np.int64, owner, "all")), "tokens")
    return name(op.greater(tokens, small_constant(options.threshold, np.int64, owner, "threshold")), "enough")
