"""Compress weights into formats that NNCF does not have; NNCF compresses the layers that get the backup mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.compression import mant_weights, vector_weights
from ovpass.compression.bit_allocation import Layers, allocate, average_bits
from ovpass.compression.calibration import Inputs, random_inputs
from ovpass.compression.encoded_store import EncodedStore
from ovpass.compression.hessians import SharedActivation, second_moments, shared_activations
from ovpass.compression.jobs import Job
from ovpass.compression.modes import vector_encoding
from ovpass.compression.nncf_weights import compress_weights
from ovpass.compression.predicted_weights import adjusted_group, backup_recipe
from ovpass.compression.recipe import Recipe
from ovpass.conversion.linear_layers import LinearLayer
from ovpass.errors import SettingsError
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, EncodedWeights, Encoding
from ovpass.formats.mant_encoding import MantWeights
from ovpass.formats.vector_encoding import VectorWeights, stored_bits
from ovpass.ir.constant_folding import evaluate
from ovpass.ir.fingerprint import fingerprint
from ovpass.support.progress import Progress
from ovpass.support.threads import in_threads
from ovpass.version import __version__

Array = npt.NDArray[Any]

Encoder = Callable[[Sequence[Array], Array | None, Encoding, Recipe], Sequence[EncodedWeights]]
"""Gets the weights [..., N, K] (f32) of the layers that read one activation, and its second moments [K, K]: of a text
if the recipe looks at one, else of random token ids; None for models without text and weights that are no matrix."""


@dataclass(frozen=True)
class Engine:
    """What encodes weights, and what it makes of them."""

    encode: Encoder
    kind: type[EncodedWeights]


ENGINES: Mapping[str, Engine] = {
    "mant": Engine(mant_weights.encode, MantWeights),
    "vector": Engine(vector_weights.encode, VectorWeights),
}
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

    def form(self) -> ChainForm:
        """How the chain is written that takes their place."""
        name, kind = self.layer.weights, self.output.get_element_type().to_string()
        return ChainForm(name, f"{name}/", "f32", kind, self.transposed)


def compress_layers(
    model: ov.Model,
    job: Job,
    recipe: Recipe,
    ignored: Sequence[str],
    dataset: Sequence[Inputs] | None,
    progress: Progress,
) -> tuple[ov.Model, list[str]]:
    """The compressed model (`model` is used up), and what there is to note. `ignored` are names of nodes.

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
    notes = _encode_all(model, job, recipe, found, inputs, progress)
    model.validate_nodes_and_infer_types()
    return model, [*warnings, *notes]


def _encode_all(
    model: ov.Model,
    job: Job,
    recipe: Recipe,
    found: Mapping[str, _Weights],
    inputs: Sequence[Inputs],
    progress: Progress,
) -> list[str]:
    """Replace the weights of all layers `found`, those that read one activation together; returns notes."""
    # Later activations are those of the model as it was, whatever is replaced meanwhile.
    original = model.clone()
    activations = shared_activations(original, [name for name, own in found.items() if own.port == 1])
    together = {name for activation in activations for name in activation.matmuls}
    groups = [*(each.matmuls for each in activations), *((name,) for name in found if name not in together)]
    store = EncodedStore(_run_name(job, recipe, inputs), ENGINES[recipe.format.engine].kind)
    run = _Run(original, activations, groups, found, inputs, recipe, store, progress)
    encodings = [_encoding(recipe, found[names[0]].layer.k) for names in groups]
    if recipe.bits is not None:
        encodings = run.raised(encodings, recipe.bits)
    bits, weights = 0.0, 0
    for number, encoded in enumerate(run.encoded(encodings, "encoding weights")):
        _replace(encoded, [found[name] for name in groups[number]])
        vectors = [each for each in encoded if isinstance(each, VectorWeights)]
        bits += stored_bits(vectors)
        weights += sum(math.prod(each.shape) for each in vectors)
    store.clear()
    return [f"{job.ir.xml.name}: {bits / weights:.2f} bits a weight with codebooks and scales"] if weights else []


@dataclass(frozen=True)
class _Run:
    """The `groups` of layers that are encoded together, those of the `activations` first, and what is kept of them."""

    model: ov.Model
    activations: Sequence[SharedActivation]
    groups: Sequence[Sequence[str]]
    found: Mapping[str, _Weights]
    inputs: Sequence[Inputs]
    recipe: Recipe
    store: EncodedStore
    progress: Progress

    def encoded(self, encodings: Sequence[Encoding], what: str) -> Iterator[Sequence[EncodedWeights]]:
        """The weights of each group; what the store has is not encoded again."""
        ready = [self.store.get(number, encoding) is not None for number, encoding in enumerate(encodings)]
        missing = [activation for activation, done in zip(self.activations, ready, strict=False) if not done]
        moments = _moments(self.model, missing, self.found, self.inputs, self.progress)

        def task(number: int) -> Callable[[], Sequence[EncodedWeights]]:
            if ready[number]:
                return lambda: self.store.get(number, encodings[number]) or ()
            own = next(moments) if number < len(self.activations) else None
            values = [self.found[name].values() for name in self.groups[number]]

            def encode() -> Sequence[EncodedWeights]:
                encoded = ENGINES[self.recipe.format.engine].encode(values, own, encodings[number], self.recipe)
                self.store.put(number, encoded, self._error(values, encoded, own))
                return encoded

            return encode

        for number, encoded in enumerate(in_threads(map(task, range(len(self.groups))))):
            yield encoded
            self.progress(f"{what}: {number + 1} of {len(self.groups)}")

    def raised(self, encodings: Sequence[Encoding], budget: float) -> list[Encoding]:
        """More bits for the groups with the largest errors; all are encoded with the fewest to find out which.

        Raises:
            SettingsError: for a budget that is less than the fewest.
        """
        mode = self.recipe.mode
        layers = [Layers(tuple((own.n, own.k) for own in map(self._layer, names))) for names in self.groups]
        if (least := average_bits(layers, mode)) > budget:
            raise SettingsError(f"bits {budget:g}: {mode} takes {least:.2f} with codebooks and scales; use more")
        for _ in self.encoded(encodings, "finding the worst layers"):
            pass
        errors = [self.store.lost(number, encoding) for number, encoding in enumerate(encodings)]
        known = [replace(own, error=error) for own, error in zip(layers, errors, strict=True)]
        return [vector_encoding(each) for each in allocate(known, mode, budget)]

    def _layer(self, name: str) -> LinearLayer:
        return self.found[name].layer

    def _error(self, values: Sequence[Array], encoded: Sequence[EncodedWeights], moments: Array | None) -> float | None:
        """Squares of what the outputs lose, by the squares of the outputs; only where bits depend on it."""
        if self.recipe.bits is None or moments is None:
            return None
        known = FORMATS[encoded[0].encoding.format]
        lost = [whole - known.decode(each) for whole, each in zip(values, encoded, strict=True)]
        return _energy(lost, moments) / max(_energy(values, moments), float(np.finfo(np.float32).tiny))


def _energy(weights: Sequence[Array], moments: Array) -> float:
    """The squares of the outputs, added up."""
    return sum(float(np.vdot(each @ moments, each)) for each in weights)


def _run_name(job: Job, recipe: Recipe, inputs: Sequence[Inputs]) -> str:
    """The same for the same model, recipe and text."""
    text = (np.ascontiguousarray(array).tobytes() for sample in inputs for array in sample.values())
    return fingerprint(job.ir, (repr((__version__, recipe)).encode(), *text))


def _fitting(recipe: Recipe, layers: Sequence[LinearLayer]) -> tuple[list[LinearLayer], list[LinearLayer]]:
    """Those that have a group size which divides their K, and those that are to stay as they are."""
    if recipe.group_size_fallback != "ignore":
        return [layer for layer in layers if adjusted_group(recipe, layer.k) is not None], []
    ragged = [layer for layer in layers if layer.k % (recipe.weight_group or layer.k)]
    return [layer for layer in layers if layer not in ragged], ragged


def _moments(
    model: ov.Model,
    activations: Sequence[SharedActivation],
    found: Mapping[str, _Weights],
    dataset: Sequence[Inputs],
    progress: Progress,
) -> Iterator[Array | None]:
    """The second moments of each activation."""
    if not dataset:
        yield from (None for _ in activations)
        return
    count = lambda done, total: progress(f"calibrating: sample {done} of {total}")  # noqa: E731
    for activation, moments in second_moments(model, activations, dataset, progress=count):
        matrices = all(found[name].output.get_partial_shape().rank.get_length() == 2 for name in activation.matmuls)
        yield moments if matrices else None


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


def _encoding(recipe: Recipe, k: int) -> Encoding:
    return replace(recipe.encoding, group_size=adjusted_group(recipe, k) if recipe.weight_group else None)


def _replace(encoded: Sequence[EncodedWeights], weights: Sequence[_Weights]) -> None:
    """Write decompression chains in place of weights that read one activation, for all that read those weights."""
    known = FORMATS[encoded[0].encoding.format]
    chains = known.write_all(encoded, [each.form() for each in weights])
    for own, chain in zip(weights, chains, strict=True):
        for reader in own.output.get_target_inputs():
            reader.replace_source_output(chain)
