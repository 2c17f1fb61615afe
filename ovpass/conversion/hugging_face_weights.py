"""Replace exported floating-point weights with the integers of a packed checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.packed.layer import PackedLayer
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, Encoding
from ovpass.formats.packing import values_of
from ovpass.ir.files import IrFile, open_source
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.runtime_options import GROUP_SIZE, write_option
from ovpass.ir.writer import write_anew
from ovpass.support.atomic_output import publish_together
from ovpass.support.formatting import counted

_SPELLINGS = ("weight", "weight_compressed", "_openvino_orig_weight")
"""Names of a weight in f32, of one that was saved in f16, and of one that was traced in f16."""
_IN_ORDER, _REORDERED = "in order", "reordered"
_SHOWN = 3


def put_back(checkpoint: PackedCheckpoint, folder: Path) -> list[str]:
    """Replace each weight that was dequantized by its own codes, scales and zero points; returns notes.

    A constant is replaced only where it holds just what the layer dequantizes to, so that nothing is lost where the
    exporter merged or changed weights: those stay in floating point.
    """
    left, ordered = set(checkpoint.names), 0
    for ir in open_source(folder).models:
        model = ir.read()
        constants = {node.get_friendly_name(): node for node in model.get_ops() if node.get_type_name() == "Constant"}
        placed = {name: how for name in sorted(left) if (how := _place(checkpoint, name, constants)) is not None}
        if placed:
            _ask_for(checkpoint.activation_group, model)
            _rewrite(model, ir)
        left -= placed.keys()
        ordered += list(placed.values()).count(_REORDERED)
    return _notes(sorted(left), ordered)


def _place(checkpoint: PackedCheckpoint, name: str, constants: Mapping[str, ov.Node]) -> str | None:
    """Let all that reads the weight read the layer's codes; how that was done, None where it was not."""
    spelled = (f"self.{name}.{ending}" for ending in _SPELLINGS)
    node = next((constants[spelling] for spelling in spelled if spelling in constants), None)
    if node is None:
        return None
    layer = checkpoint.layer(name)
    readers = _readers(node, layer)
    if not readers:
        return None
    weights = _weights(layer, readers[0].get_element_type().to_string())
    for reader in readers:
        _feed(reader, layer, weights)
    return _IN_ORDER if layer.order is None else _REORDERED


def _ask_for(group: int | None, model: ov.Model) -> None:
    """Let the model ask for activations in groups of that size, as plans and plugins read it; -1 is per token."""
    if group is not None:
        write_option(ModelMetadata(model), GROUP_SIZE, str(group % 2**64))


def _rewrite(model: ov.Model, ir: IrFile) -> None:
    fresh = ir.xml.parent / "packed"
    fresh.mkdir()
    written = write_anew(model, ir, fresh)
    publish_together({written.weights: ir.bin, written.xml: ir.xml})
    shutil.rmtree(fresh)


def _notes(left: list[str], ordered: int) -> list[str]:
    notes = []
    if left:
        few = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
        layers = counted(len(left), "packed layer is", "packed layers are")
        notes.append(f"{layers} in floating point, because the exporter merged or changed them: {few}")
    if ordered:
        notes.append(
            f"{ordered} layers are quantized in activation order (act-order): their inputs are reordered (Gather)"
        )
    return notes


def _readers(node: ov.Node, layer: PackedLayer) -> list[ov.Input]:
    """The inputs of MatMuls that read a constant, none where it does not hold the layer's weights [N, K]."""
    if tuple(node.get_output_shape(0)) != layer.encoded.shape:
        return []
    stored = values_of(node)
    if not np.array_equal(stored, layer.values().astype(np.float16).astype(stored.dtype)):
        return []
    output = node.output(0)
    converts = [port.get_node() for port in output.get_target_inputs() if port.get_node().get_type_name() == "Convert"]
    outputs = [output, *(convert.output(0) for convert in converts)]
    readers = [port for out in outputs for port in out.get_target_inputs() if port.get_node() not in converts]
    whole = all(_reads_weights(port) for port in readers)
    return readers if whole else []


def _reads_weights(port: ov.Input) -> bool:
    node = port.get_node()
    return node.get_type_name() == "MatMul" and port.get_index() == 1 and bool(node.get_attributes()["transpose_b"])


def _feed(reader: ov.Input, layer: PackedLayer, weights: ov.Output) -> None:
    matmul = reader.get_node()
    reader.replace_source_output(weights)
    if layer.order is not None:
        activation = matmul.input(0)
        in_order = op.gather(activation.get_source_output(), op.constant(layer.order), op.constant(np.int64(-1)))
        in_order.set_friendly_name(f"{matmul.get_friendly_name()}/in_order")
        activation.replace_source_output(in_order.output(0))


def _weights(layer: PackedLayer, wanted: str) -> ov.Output:
    """What NNCF writes: Convert, Subtract (unless symmetric), Multiply, Reshape (where there are groups), Convert."""
    name, encoded = f"self.{layer.name}.weight", layer.encoded
    form = ChainForm(name, f"{name}/", _compute_type(encoded.encoding), wanted)
    return FORMATS[encoded.encoding.format].write(encoded, form)


def _compute_type(encoding: Encoding) -> str:
    """f16 where that holds codes and scales exactly."""
    table_in_f32 = encoding.table_type == "f32" if encoding.table else encoding.element_type == "nf4"
    return "f32" if table_in_f32 or encoding.scale_type == "f32" else "f16"
