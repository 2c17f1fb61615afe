"""Replace exported floating-point weights with the integers of a packed checkpoint."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.packed.layer import PackedLayer
from ovpass.conversion.requantization import Requantizer, has_integers
from ovpass.formats import FORMATS, codebook, integer, vector_encoding
from ovpass.formats.base import ChainForm, EncodedWeights
from ovpass.formats.packing import values_of
from ovpass.formats.writing import compute_type
from ovpass.ir.files import IrFile, open_source
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.runtime_options import GROUP_SIZE, write_option
from ovpass.ir.writer import write_anew
from ovpass.support.atomic_output import publish_together
from ovpass.support.formatting import counted

_SPELLINGS = ("weight", "weight_compressed", "_openvino_orig_weight")
"""Names of a weight in f32, of one that was saved in f16, and of one that was traced in f16."""
_IN_F16 = "f16 (their groups run across rows)"
_OF_XE3P = ("f8e4m3", "f8e5m2", "f4e2m1")
_SHOWN = 3


@dataclass(frozen=True)
class _Placed:
    """A layer that reads its own codes again: whether its inputs are reordered, and the weights that it `keeps`, in
    words, where devices quantize no activations for those; None for integers."""

    reordered: bool
    keeps: str | None


def put_back(checkpoint: PackedCheckpoint, folder: Path, requantizer: Requantizer | None = None) -> list[str]:
    """Replace each weight that was dequantized by its own codes, scales and zero points; returns notes.

    A constant is replaced only where it holds just what the layer dequantizes to, so that nothing is lost where the
    exporter merged or changed weights: those stay in floating point. With a requantizer, layers without integers become
    what it makes of them.
    """
    found: dict[str, _Placed] = {}
    for ir in open_source(folder).models:
        model = ir.read()
        constants = {node.get_friendly_name(): node for node in model.get_ops() if node.get_type_name() == "Constant"}
        left = sorted(set(checkpoint.names) - found.keys())
        placed = {name: how for name in left if (how := _place(checkpoint, name, constants, requantizer))}
        if placed:
            _ask_for(checkpoint.activation_group, model)
            _rewrite(model, ir)
        found |= placed
    return _notes(sorted(set(checkpoint.names) - found.keys()), list(found.values()))


def _place(
    checkpoint: PackedCheckpoint, name: str, constants: Mapping[str, ov.Node], requantizer: Requantizer | None
) -> _Placed | None:
    """Let all that reads the weight read the layer's codes; None where it was not done."""
    spelled = (f"self.{name}.{ending}" for ending in _SPELLINGS)
    node = next((constants[spelling] for spelling in spelled if spelling in constants), None)
    if node is None:
        return None
    layer = checkpoint.layer(name)
    readers = _readers(node, layer)
    if not readers:
        return None
    if requantizer is not None and not has_integers(layer.encoded):
        layer = replace(layer, encoded=requantizer.encode(name, layer.stored()))
    if layer.encoded is None:
        return _Placed(False, _IN_F16)
    weights = _weights(name, layer.encoded, readers[0].get_element_type().to_string())
    for reader in readers:
        _feed(reader, layer, weights)
    return _Placed(layer.order is not None, None if has_integers(layer.encoded) else _in_words(layer.encoded))


def _in_words(encoded: EncodedWeights) -> str:
    """Weights that are not integers with whole zero points."""
    name, kind = encoded.encoding.format, encoded.encoding.element_type
    others = {vector_encoding.NAME: "vectors", codebook.NAME: "codes of a table"}
    return others.get(name, f"{kind} with zero points that are not whole" if name == integer.NAME else kind)


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


def _notes(left: list[str], placed: Sequence[_Placed]) -> list[str]:
    notes = []
    if left:
        few = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
        layers = counted(len(left), "packed layer is", "packed layers are")
        notes.append(f"{layers} in floating point, because the exporter merged or changed them: {few}")
    if ordered := sum(each.reordered for each in placed):
        notes.append(
            f"{ordered} layers are quantized in activation order (act-order): their inputs are reordered (Gather)"
        )
    for keeps, count in Counter(each.keeps for each in placed if each.keeps is not None).items():
        which = "only Xe3p quantizes" if keeps in _OF_XE3P else "devices do not quantize"
        notes.append(
            f"{counted(count, 'layer has', 'layers have')} weights in {keeps}: {which} activations for those; "
            "--requantize i8 makes integers of them"
        )
    return notes


def _readers(node: ov.Node, layer: PackedLayer) -> list[ov.Input]:
    """The inputs of MatMuls that read a constant, none where it does not hold the layer's weights [N, K]."""
    stored, values = values_of(node), layer.values()
    if stored.shape != values.shape or not np.array_equal(stored, values.astype(np.float16).astype(stored.dtype)):
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


def _weights(layer: str, encoded: EncodedWeights, wanted: str) -> ov.Output:
    """What NNCF writes: Convert, Subtract (unless symmetric), Multiply, Reshape (where there are groups), Convert."""
    name = f"self.{layer}.weight"
    form = ChainForm(name, f"{name}/", compute_type(encoded), wanted)
    return FORMATS[encoded.encoding.format].write(encoded, form)
