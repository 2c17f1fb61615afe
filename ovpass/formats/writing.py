"""Decompression chains in public ops, in the form that NNCF writes and plugins keep compressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.base import ChainForm, EncodedWeights
from ovpass.formats.packing import constant_of

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

_IN_F32 = ("nf4",)
"""Types whose values are f32."""
Namer = Callable[[ov.Node, str], ov.Node]


def compute_type(encoded: EncodedWeights) -> str:
    """The type of the arithmetic of a chain: f16 where that holds codes, scales and zero points exactly, else f32."""
    encoding = encoded.encoding
    codes_in_f32 = encoding.table_type == "f32" if encoding.table else encoding.element_type in _IN_F32
    exact = encoding.scale_type != "f32" and not codes_in_f32 and encoded.whole_zero_points
    return "f16" if exact else "f32"


def write_converted(encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """Codes that are numbers themselves."""
    named = namer(form)
    node = named(op.convert(codes_constant(encoded, form), form.compute), "converted")
    if encoded.zero_point is not None:
        zero_point = named(_zero_point(encoded, encoded.zero_point, form), "zero_point")
        shift = _converted(zero_point, form.compute, "zero_point_converted", named)
        node = named(op.subtract(node, shift), "shifted")
    return write_scaled(node, encoded, form)


def write_looked_up(encoded: EncodedWeights, table: Array, form: ChainForm) -> ov.Output:
    """Codes by which `table` (f32) is looked up. The Gather reads them as u8, as NNCF's."""
    named, codes = namer(form), codes_constant(encoded, form)
    entries = named(_float_constant(table, encoded.encoding.table_type), "table")
    values = _converted(entries, form.compute, "table_converted", named)
    indices = _converted(codes, "u8", "converted", named)
    return write_scaled(named(op.gather(values, indices, op.constant(np.int64(0))), "looked_up"), encoded, form)


def write_scaled(node: ov.Node, encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """Values in groups, as the codes lie: scaled, [N, K] again, in the output type."""
    named = namer(form)
    if encoded.scale is not None:
        node = named(op.multiply(node, _scale(encoded, encoded.scale, form)), "scaled")
    if encoded.groups > 1:
        *batch, n, k = encoded.codes.shape
        whole = [*batch, k, n] if form.transposed else [*batch, n, k]
        node = named(op.reshape(node, op.constant(np.array(whole, np.int64)), False), "reshaped")
    return _converted(node, form.output, "widened", named).output(0)


def codes_constant(encoded: EncodedWeights, form: ChainForm) -> ov.Node:
    """The Constant of the codes, in groups."""
    blocks = encoded.codes.reshape(*encoded.codes.shape[:-1], encoded.groups, -1)
    node = constant_of(laid_out(blocks, form), encoded.encoding.element_type)
    node.set_friendly_name(form.codes)
    return node


def _scale(encoded: EncodedWeights, scale: Array, form: ChainForm) -> ov.Node:
    """The Constant, or what is computed of it, in the compute type."""
    named = namer(form)
    stored = named(_float_constant(laid_out(scale[..., None], form), encoded.encoding.scale_type), "scale")
    if encoded.tensor_scale is None:
        return _converted(stored, form.compute, "scale_converted", named)
    of_tensor = named(op.constant(encoded.tensor_scale.reshape([1] * len(stored.shape))), "tensor_scale")
    product = named(op.multiply(named(op.convert(stored, "f32"), "scale_converted"), of_tensor), "whole_scale")
    return _converted(product, form.compute, "whole_scale_converted", named)


def _zero_point(encoded: EncodedWeights, zero_point: Array, form: ChainForm) -> ov.Node:
    """In the type of the codes, unless it is a float; NNCF stores a single one for codes of few bits in i8."""
    if not encoded.whole_zero_points:
        return op.constant(laid_out(zero_point[..., None], form))
    kind = encoded.encoding.element_type
    if zero_point.ndim:
        return constant_of(laid_out(zero_point[..., None], form), kind)
    return constant_of(zero_point, kind if kind in ("u4", "u8") else "i8")


def laid_out(blocks: Array, form: ChainForm) -> Array:
    """[..., N, groups, elements] as it is stored: without the axis of a single group, and with N last if transposed."""
    n_axis = blocks.ndim - 3
    if blocks.shape[-2] == 1:
        blocks = blocks.squeeze(-2)
    return np.ascontiguousarray(np.moveaxis(blocks, n_axis, -1) if form.transposed else blocks)


def _float_constant(values: Array, kind: str) -> ov.Node:
    return op.constant(np.ascontiguousarray(values), dtype=getattr(ov.Type, kind))


def _converted(node: ov.Node, kind: str, role: str, named: Namer) -> ov.Node:
    same = node.get_output_element_type(0).to_string() == kind
    return node if same else named(op.convert(node, kind), role)


def namer(form: ChainForm) -> Namer:
    """What gives the ops of a chain their names, by the role of each."""

    def named(node: ov.Node, role: str) -> ov.Node:
        node.set_friendly_name(f"{form.steps}{role}")
        return node

    return named
