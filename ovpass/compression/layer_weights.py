"""The weights of a layer in a model, to read and to replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.conversion.linear_layers import LinearLayer
from ovpass.formats.base import ChainForm
from ovpass.ir.constant_folding import evaluate

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LayerWeights:
    """What a layer reads: `output` holds [..., K, N] if `transposed`, [..., N, K] otherwise."""

    layer: LinearLayer
    port: int
    output: ov.Output
    transposed: bool

    def values(self) -> Array:
        """In f32, [..., N, K]."""
        values = np.asarray(evaluate(self.output), np.float32)
        return values.swapaxes(-1, -2) if self.transposed else values

    def stored(self, values: Array) -> Array:
        """Values [..., N, K] in the layout and the type of `output`."""
        laid_out = values.swapaxes(-1, -2) if self.transposed else values
        return np.ascontiguousarray(laid_out, self.output.get_element_type().to_dtype())

    def form(self) -> ChainForm:
        """How the chain is written that takes their place."""
        name, kind = self.layer.weights, self.output.get_element_type().to_string()
        return ChainForm(name, f"{name}/", "f32", kind, self.transposed)

    def replace(self, output: ov.Output) -> None:
        """Let all that read these weights read `output`."""
        for reader in self.output.get_target_inputs():
            reader.replace_source_output(output)


def weights_of(model: ov.Model, layers: Sequence[LinearLayer]) -> dict[str, LayerWeights]:
    """What the layers read in `model`, by their names."""
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    return {layer.name: _weights_of(nodes[layer.name], layer) for layer in layers}


def _weights_of(node: ov.Node, layer: LinearLayer) -> LayerWeights:
    attributes = node.get_attributes()
    for port, own in ((1, attributes["transpose_b"]), (0, not attributes["transpose_a"])):
        shape = node.input_value(port).get_partial_shape()
        if _is_constant(node.input_value(port)) and shape.is_static:
            return LayerWeights(layer, port, node.input_value(port), not own)
    raise AssertionError(f"{layer.name} was found to have constant weights")


def _is_constant(output: ov.Output) -> bool:
    node = output.get_node()
    while node.get_type_name() in ("Convert", "Reshape", "Transpose"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
