"""Rewrite decompression chains without changing their values, and undo it.

Signed codes become unsigned codes with a zero point. Zero points become floating point. Scales are repeated for smaller
groups. Every weight stays exactly the same. The model records what `strip` needs to restore each replaced Constant.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.chain import Operand
from ovpass.formats.packing import constant_of, from_bytes, stored_bytes, to_signed, to_unsigned, type_name, values_of
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.passes.editing import append, marker
from ovpass.sites import CompressedMatMul

UNDO = "undo"


def note_undo(model: ov.Model, undo: dict[str, dict[str, Any]]) -> None:
    """Let `strip` undo what editors did."""
    if undo:
        extend_note(ModelMetadata(model), UNDO, undo)


class ChainEditor:
    """Edits of the decompression chain of one site."""

    def __init__(self, site: CompressedMatMul) -> None:
        self._site = site
        self.undo: dict[str, dict[str, Any]] = {}
        """How to undo the edits, by the Constants that they made: for the note in the model."""
        self._name = marker(site.matmul)
        self._codes, self._convert = (site.graph.node(i) for i in site.weights.path[:2])
        self._shape = tuple(self._codes.get_output_shape(0))

    def float_zero_point(self) -> None:
        """Store the zero point in floating point; neither plugin quantizes activations then."""
        if self._site.symmetric:
            _, zero_point = self._replace_codes(self._shape)
            compute = self._convert.get_output_element_type(0)
            self._shift(self._name(op.constant(np.array(zero_point, compute.to_dtype())), "weights.zero_point"))
            return
        port = self._port(self._site.weights.zero_points[0])
        converted = port.get_source_output()
        _, stored = _behind_converts(port)
        values = values_of(stored).astype(converted.get_element_type().to_dtype())
        undo = {"convert": converted.get_node().get_friendly_name(), "type": type_name(stored)}
        self._replace(port, op.constant(values), "integer", stored, undo)

    def cap(self, group_size: int) -> None:
        """Give the weights an integer zero point and a scale for every `group_size` of K.

        The GPU plugin quantizes activations in no larger groups than those of weights with a zero point.
        """
        first, last = self._site.weights.k_axes[0], self._site.weights.k_axes[-1]
        grouped = (*self._shape[:first], self._site.k // group_size, group_size, *self._shape[last + 1 :])
        scale = self._site.weights.scales[0]
        self._regroup(scale, grouped, repeat=True)
        if self._site.symmetric:
            codes, zero_point = self._replace_codes(grouped)
            stored = self._name(constant_of(np.array(zero_point), type_name(codes)), "weights.zero_point")
            compute = self._convert.get_output_element_type(0)
            self._shift(self._name(op.convert(stored, compute), "weights.zero_point_converted"))
        else:
            self._replace_codes(grouped)
            self._regroup(self._site.weights.zero_points[0], grouped, repeat=False)
        if len(grouped) != len(self._shape):
            target = self._name(op.constant(np.array(self._shape, np.int64)), "weights.ungrouped_shape")
            scaled = self._site.graph.node(self._site.weights.path[scale.step])
            append(scaled, lambda out: self._name(op.reshape(out, target, False), "weights.ungrouped"))

    def _replace_codes(self, shape: tuple[int, ...]) -> tuple[ov.Node, int]:
        """Unsigned codes in the given shape, and the zero point that shifts them back, 0 for none."""
        undo = {"shape": list(self._shape)}
        if self._site.symmetric:
            codes, zero_point = to_unsigned(self._codes, shape)
            self._replace(self._convert.input(0), codes, "signed", self._codes, undo)
            return codes, zero_point
        if shape != self._shape:
            codes = from_bytes(stored_bytes(self._codes), type_name(self._codes), shape)
            self._replace(self._convert.input(0), codes, "reshaped", self._codes, undo)
            return codes, 0
        return self._codes, 0

    def _shift(self, zero_point: ov.Node) -> None:
        append(self._convert, lambda out: self._name(op.subtract(out, zero_point), "weights.shift"))

    def _regroup(self, operand: Operand, grouped: tuple[int, ...], *, repeat: bool) -> None:
        """Align a stored scale or zero point with codes in smaller groups; one for all of K stays one if allowed."""
        port, stored = _behind_converts(self._port(operand))
        axes, shape = self._site.weights.k_axes, list(stored.get_output_shape(0))
        if math.prod(shape) == 1 and not repeat:
            return
        padded = [1] * (len(self._shape) - len(shape)) + shape
        own = math.prod(padded[axis] for axis in axes)
        times = grouped[axes[0]] // own if repeat or own > 1 else 1
        aligned = values_of(stored).reshape([*padded[: axes[0]], own, 1, *padded[axes[-1] + 1 :]])
        values = np.repeat(aligned, times, axis=axes[0])
        if list(values.shape) != shape:
            undo = {"shape": shape, "axis": axes[0], "times": times}
            self._replace(port, constant_of(values, type_name(stored)), "regrouped", stored, undo)

    def _port(self, operand: Operand) -> ov.Input:
        return self._site.graph.node(self._site.weights.path[operand.step]).input(operand.port)

    def _replace(self, port: ov.Input, new: ov.Node, how: str, old: ov.Node, undo: dict[str, Any]) -> None:
        """Let `port` read the Constant `new` instead of `old`, and note how to undo that."""
        self._name(new, f"weights.{how}.{old.get_friendly_name()}")
        entry = {"how": how, "name": old.get_friendly_name(), **undo}
        self.undo[new.get_friendly_name()] = entry
        port.replace_source_output(new.output(0))


def original(constant: ov.Node, undo: dict[str, Any]) -> ov.Node:
    """The node that a ChainEditor replaced by `constant`, under its own name."""
    how = undo["how"]
    if how == "integer":
        stored = constant_of(np.rint(values_of(constant)).astype(np.int64), undo["type"])
        stored.set_friendly_name(undo["name"])
        converted = op.convert(stored, constant.get_output_element_type(0))
        converted.set_friendly_name(undo["convert"])
        return converted
    if how == "signed":
        node = to_signed(constant, undo["shape"])
    elif how == "reshaped":
        node = from_bytes(stored_bytes(constant), type_name(constant), undo["shape"])
    else:
        values = values_of(constant)
        kept = values.take(range(0, values.shape[undo["axis"]], undo["times"]), axis=undo["axis"])
        node = constant_of(kept.reshape(undo["shape"]), type_name(constant))
    node.set_friendly_name(undo["name"])
    return node


def _behind_converts(port: ov.Input) -> tuple[ov.Input, ov.Node]:
    """The port that reads the stored Constant of an operand, and that Constant."""
    node = port.get_source_output().get_node()
    while node.get_type_name() == "Convert":
        port = node.input(0)
        node = port.get_source_output().get_node()
    return port, node
