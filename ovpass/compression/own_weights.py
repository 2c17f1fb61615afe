"""Compress weights into formats that NNCF does not have; NNCF compresses the layers that get the backup mode."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.compression import mant_weights, vector_weights
from ovpass.compression.calibration import Inputs, random_inputs
from ovpass.compression.encoded_store import EncodedStore
from ovpass.compression.encoding_run import EncodingRun
from ovpass.compression.hessians import shared_activations
from ovpass.compression.jobs import Job
from ovpass.compression.kl_budget import KlBudget
from ovpass.compression.layer_weights import LayerWeights, weights_of
from ovpass.compression.layout import Layout
from ovpass.compression.mixed_bits import MixedBits
from ovpass.compression.modes import MODES
from ovpass.compression.nncf_weights import compress_weights
from ovpass.compression.predicted_weights import adjusted_group, backup_recipe
from ovpass.compression.recipe import Recipe
from ovpass.conversion.linear_layers import LinearLayer
from ovpass.errors import ModelError
from ovpass.evaluation.feeding import is_language_model
from ovpass.evaluation.windows import Window
from ovpass.formats import FORMATS
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.formats.mant_encoding import MantWeights
from ovpass.formats.vector_encoding import VectorWeights, stored_bits
from ovpass.ir.fingerprint import fingerprint
from ovpass.support.progress import Progress
from ovpass.tuning.budget import Spent
from ovpass.version import __version__

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Engine:
    """What encodes weights, and what it makes of them."""

    encode: Callable[[Sequence[Array], Array | None, Encoding, Recipe], Sequence[EncodedWeights]]
    """As `Encode` (ovpass/compression/encoding_run.py), by a recipe."""
    kind: type[EncodedWeights]


ENGINES: Mapping[str, Engine] = {
    "mant": Engine(mant_weights.encode, MantWeights),
    "vector": Engine(vector_weights.encode, VectorWeights),
}
"""By the `engine` of a mode."""


@dataclass(frozen=True)
class OwnWeights:
    """The compressed model, what NNCF warned of, and the layout of layers in vectors, None without any."""

    model: ov.Model
    warnings: list[str]
    layout: Layout | None


def compress_layers(
    model: ov.Model,
    job: Job,
    recipe: Recipe,
    ignored: Sequence[str],
    samples: Sequence[Inputs] | None,
    windows: Sequence[Window],
    progress: Progress,
) -> OwnWeights:
    """Compress `model`, which is used up. `ignored` are names of nodes; `windows` of text are for a budget of KL.

    Raises:
        ModelError: if NNCF cannot compress the layers of the backup mode, or a model with a budget of KL predicts no
            tokens.
        SettingsError: for a budget that cannot be kept.
    """
    if recipe.max_kl is not None and not is_language_model(model):
        raise ModelError(f"{job.ir.xml}: is not a language model, which max-kl needs; use bits")
    inputs = samples or random_inputs(model, job.ir.xml)
    layers, left = _fitting(recipe, job.in_mode(recipe))
    warnings: list[str] = []
    if backup := backup_recipe(recipe):
        progress("compressing the other layers")
        own = [name for layer in (*layers, *left) for name in (layer.name, layer.weights)]
        model, warnings = compress_weights(model, job.ir.xml, backup, [*ignored, *own], None, bars=False)
    run = _run(model, job, recipe, layers, inputs, progress)
    modes, spent = _modes(run, job, recipe, windows)
    layout = _replace_all(run, recipe, modes, spent)
    run.store.finish()
    model.validate_nodes_and_infer_types()
    return OwnWeights(model, warnings, layout)


def _run(
    model: ov.Model,
    job: Job,
    recipe: Recipe,
    layers: Sequence[LinearLayer],
    inputs: Sequence[Inputs],
    progress: Progress,
) -> EncodingRun:
    """Those that read one activation are together. Activations are those of the model as it is now."""
    weights, original = weights_of(model, layers), model.clone()
    activations = shared_activations(original, [name for name, own in weights.items() if own.port == 1])
    together = {name for activation in activations for name in activation.matmuls}
    groups = [*(each.matmuls for each in activations), *((name,) for name in weights if name not in together)]
    engine = ENGINES[recipe.format.engine]
    store = EncodedStore(_run_name(job, recipe, inputs), engine.kind)

    def encode(values: Sequence[Array], moments: Array | None, encoding: Encoding) -> Sequence[EncodedWeights]:
        return engine.encode(values, moments, encoding, recipe)

    return EncodingRun(original, activations, groups, weights, inputs, encode, store, progress)


def _modes(run: EncodingRun, job: Job, recipe: Recipe, windows: Sequence[Window]) -> tuple[Sequence[str], Spent | None]:
    """The mode of each group, and what they cost together where that was measured."""
    mixed = MixedBits(run, recipe.mode, job.ir.xml)
    if recipe.bits is not None:
        return mixed.within(recipe.bits), None
    if recipe.max_kl is not None:
        return KlBudget(mixed, job.ir.read(), windows, recipe.max_kl).modes()
    return [recipe.mode] * len(run.groups), None


def _replace_all(run: EncodingRun, recipe: Recipe, modes: Sequence[str], spent: Spent | None) -> Layout | None:
    """Write the chains of all layers; the layout of those in vectors."""
    recipes = [recipe if mode == recipe.mode else Recipe(mode) for mode in modes]
    ks = [run.weights[names[0]].layer.k for names in run.groups]
    encoded = run.encoded([_encoding(own, k) for own, k in zip(recipes, ks, strict=True)], "encoding weights")
    bits, weights, layers = 0.0, 0, Counter[str]()
    for mode, names, own in zip(modes, run.groups, encoded, strict=True):
        _replace(own, [run.weights[name] for name in names])
        vectors = [each for each in own if isinstance(each, VectorWeights)]
        bits += stored_bits(vectors)
        weights += sum(math.prod(each.shape) for each in vectors)
        layers[mode] += len(vectors)
    return Layout(bits / weights, layers, spent) if weights else None


def _run_name(job: Job, recipe: Recipe, inputs: Sequence[Inputs]) -> str:
    """The same for the same model and text, and for recipes that differ in their encodings only."""
    first = next(mode.name for mode in MODES.values() if mode.engine == recipe.format.engine)
    alike = replace(recipe, mode=first, vector_length=None, entries=(), codebooks=None, bits=None, max_kl=None)
    text = (np.ascontiguousarray(array).tobytes() for sample in inputs for array in sample.values())
    return fingerprint(job.ir, (repr((__version__, alike)).encode(), *text))


def _fitting(recipe: Recipe, layers: Sequence[LinearLayer]) -> tuple[list[LinearLayer], list[LinearLayer]]:
    """Those that have a group size which divides their K, and those that are to stay as they are."""
    if recipe.group_size_fallback != "ignore":
        return [layer for layer in layers if adjusted_group(recipe, layer.k) is not None], []
    ragged = [layer for layer in layers if layer.k % (recipe.weight_group or layer.k)]
    return [layer for layer in layers if layer not in ragged], ragged


def _encoding(recipe: Recipe, k: int) -> Encoding:
    return replace(recipe.encoding, group_size=adjusted_group(recipe, k) if recipe.weight_group else None)


def _replace(encoded: Sequence[EncodedWeights], weights: Sequence[LayerWeights]) -> None:
    """Write decompression chains in place of weights that read one activation, for all that read those weights."""
    known = FORMATS[encoded[0].encoding.format]
    chains = known.write_all(encoded, [each.form() for each in weights])
    for own, chain in zip(weights, chains, strict=True):
        own.replace(chain)
