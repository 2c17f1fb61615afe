"""Compress weights into formats that NNCF does not have; NNCF compresses the layers that get the backup mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.compression import mant_weights
from ovpass.compression.calibration import Inputs, random_inputs
from ovpass.compression.hessians import SharedActivation, second_moments, shared_activations
from ovpass.compression.jobs import Job
from ovpass.compression.nncf_weights import compress_weights
from ovpass.compression.predicted_weights import adjusted_group, backup_recipe
from ovpass.compression.recipe import Recipe
from ovpass.conversion.linear_layers import LinearLayer
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, EncodedWeights, Encoding
from ovpass.ir.constant_folding import evaluate
from ovpass.support.progress import Progress

Array = npt.NDArray[Any]

Encoder = Callable[[Sequence[Array], Array | None, Encoding, Recipe], Sequence[EncodedWeights]]
"""Gets the weights [..., N, K] (f32) of the layers that read one activation, and its second moments [K, K]: of a text
if the recipe looks at one, else of random token ids; None for models without text and weights that are no matrix."""

ENCODERS: Mapping[str, Encoder] = {"mant": mant_weights.encode}
"""By the `engine` of a mode."""


@dataclass(frozen=True)
class _Weights:
    """What a layer reads: `output` holds [..., K, N] if `transposed`, [..., N, K] otherwise."""

    layer: LinearLayer
    port: int
    output: ov.Output
    transposed: bool

    def values(self) -> Array:
        """In f32, [..., N, K]."""
        values = np.asarray(evaluate(self.output), np.float32)
        return values.swapaxes(-1, -2) if self.transposed else values


def compress_layers(
    model: ov.Model,
    job: Job,
    recipe: Recipe,
    ignored: Sequence[str],
    dataset: Sequence[Inputs] | None,
    progress: Progress,
) -> tuple[ov.Model, list[str]]:
    """The compressed model (`model` is used up), and what NNCF warned of. `ignored` are names of nodes.

    Raises:
        ModelError: if NNCF cannot compress the layers of the backup mode.
    """
    inputs = dataset or random_inputs(model, job.ir.xml)
    layers, left = _fitting(recipe, job.in_mode(recipe))
    warnings: list[str] = []
    if backup := backup_recipe(recipe):
        progress("compressing the other layers")
        own = [name for layer in (*layers, *left) for name in (layer.name, layer.weights)]
        model, warnings = compress_weights(model, job.ir.xml, backup, [*ignored, *own], None, bars=False)
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    found = {layer.name: _weights_of(nodes[layer.name], layer) for layer in layers}
    encode = ENCODERS[recipe.format.engine]
    activations = shared_activations(model, [name for name, weights in found.items() if weights.port == 1])
    for number, (names, moments) in enumerate(_with_moments(model, activations, found, inputs, progress), start=1):
        progress(f"encoding weights: {number} of {len(activations)}")
        _replace(encode, [found.pop(name) for name in names], moments, recipe)
    for rest in found.values():
        _replace(encode, [rest], None, recipe)
    model.validate_nodes_and_infer_types()
    return model, warnings


def _fitting(recipe: Recipe, layers: Sequence[LinearLayer]) -> tuple[list[LinearLayer], list[LinearLayer]]:
    """Those that have a group size which divides their K, and those that are to stay as they are."""
    if recipe.group_size_fallback != "ignore":
        return [layer for layer in layers if adjusted_group(recipe, layer.k) is not None], []
    ragged = [layer for layer in layers if layer.k % (recipe.weight_group or layer.k)]
    return [layer for layer in layers if layer not in ragged], ragged


def _with_moments(
    model: ov.Model,
    activations: Sequence[SharedActivation],
    found: Mapping[str, _Weights],
    dataset: Sequence[Inputs],
    progress: Progress,
) -> Iterator[tuple[Sequence[str], Array | None]]:
    """The names of the layers that read each activation, and its second moments."""
    if not dataset:
        yield from ((activation.matmuls, None) for activation in activations)
        return
    count = lambda done, total: progress(f"calibrating: sample {done} of {total}")  # noqa: E731
    for activation, moments in second_moments(model, activations, dataset, progress=count):
        matrices = all(found[name].output.get_partial_shape().rank.get_length() == 2 for name in activation.matmuls)
        yield activation.matmuls, moments if matrices else None


def _weights_of(node: ov.Node, layer: LinearLayer) -> _Weights:
    attributes = node.get_attributes()
    for port, own in ((1, attributes["transpose_b"]), (0, not attributes["transpose_a"])):
        shape = node.input_value(port).get_partial_shape()
        if _is_constant(node.input_value(port)) and shape.is_static:
            return _Weights(layer, port, node.input_value(port), not own)
    raise AssertionError(f"{layer.name} was found to have constant weights")


def _is_constant(output: ov.Output) -> bool:
    node = output.get_node()
    while node.get_type_name() in ("Convert", "Reshape", "Transpose"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")


def _replace(encode: Encoder, weights: Sequence[_Weights], moments: Array | None, recipe: Recipe) -> None:
    """Write decompression chains in place of weights that read one activation, for all that read those weights."""
    group = adjusted_group(recipe, weights[0].layer.k) if recipe.weight_group else None
    encoding = replace(recipe.format.encoding, group_size=group)
    for own, encoded in zip(
        weights, encode([each.values() for each in weights], moments, encoding, recipe), strict=True
    ):
        name, kind = own.layer.weights, own.output.get_element_type().to_string()
        form = ChainForm(name, f"{name}/", "f32", kind, own.transposed)
        written = FORMATS[encoding.format].write(encoded, form)
        for reader in own.output.get_target_inputs():
            reader.replace_source_output(written)
