"""Give the layers of one model different bits, by what each does to the predictions of the whole model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.compression.bit_allocation import Layers, average_bits, modes_after, steps
from ovpass.compression.calibration import IDS, Inputs
from ovpass.compression.encoding_run import EncodingRun
from ovpass.compression.layer_weights import LayerWeights
from ovpass.compression.modes import vector_encoding
from ovpass.compression.weight_inputs import WeightInputs
from ovpass.errors import SettingsError
from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.runner import scored_rows
from ovpass.evaluation.windows import Window

Array = npt.NDArray[Any]

_TOKENS = 512
"""Of the calibration text. Two such texts tell the harm of a layer to a fifth, and layers differ by a factor of 200."""


@dataclass(frozen=True)
class MixedBits:
    """The groups of layers of `run`, each of which gets `mode` or one with more bits. `xml` names the model."""

    run: EncodingRun
    mode: str
    xml: Path

    def within(self, budget: float) -> list[str]:
        """The mode of each group, with the least harm that `budget` bits a weight allow.

        Codebooks and scales count.

        Raises:
            SettingsError: for a budget that `mode` alone exceeds.
        """
        least = average_bits(self._shapes, [self.mode] * len(self._shapes))
        if least > budget:
            raise SettingsError(f"bits {budget:g}: {self.mode} takes {least:.2f} with codebooks and scales; use more")
        return modes_after(steps(self.layers, self.mode, budget), len(self.layers), self.mode)

    @cached_property
    def model(self) -> WeightInputs:
        """The model, which runs with any encoding of its layers."""
        self.run.progress("compiling the model with its weights as inputs")
        return WeightInputs(self.run.model.clone(), self.xml, [own.layer for own in self.run.weights.values()])

    @cached_property
    def layers(self) -> list[Layers]:
        """The layers of each group, with the harm that they do alone in `mode`."""
        encoding, count = vector_encoding(self.mode), len(self._shapes)
        for _ in self.run.encoded([encoding] * count, f"encoding all layers in {self.mode}"):
            pass
        return [replace(shapes, harm=self._harm(number)) for number, shapes in enumerate(self._shapes)]

    @cached_property
    def _shapes(self) -> list[Layers]:
        shapes = {name: _rows_and_columns(own) for name, own in self.run.weights.items()}
        return [Layers(tuple(shapes[name] for name in names)) for names in self.run.groups]

    def _harm(self, number: int) -> float:
        """Measured unless it was before."""
        key, kept = f"harm of {number} in {self.mode}", self.run.store.measurements
        known = kept.get(key, float)
        if known is None:
            self.run.progress(f"measuring the harm of layers: {number + 1} of {len(self._shapes)}")
            values = self.run.decoded(number, vector_encoding(self.mode))
            lost = [self._lost(exact, self.model.outputs(inputs, values), inputs) for inputs, exact in self._exact]
            known = float(np.mean(lost))
            kept.put(key, known)
        return known

    @cached_property
    def _exact(self) -> list[tuple[Inputs, list[Array]]]:
        """What the model predicts with its own weights, for the first samples."""
        return [
            (inputs, [np.array(output) for output in self.model.outputs(inputs, {})])
            for inputs in _first(self.run.inputs)
        ]

    def _lost(self, exact: Sequence[Array], outputs: Sequence[Array], inputs: Inputs) -> float:
        """KL divergence in nats a token; of a model that predicts none the lost share of the energy of its outputs."""
        number = self.model.logits
        if number is None:
            return sum(_share(own, other) for own, other in zip(exact, outputs, strict=True))
        ids = np.asarray(inputs[IDS][0], np.int64)
        window = Window(ids, len(ids) - 1)
        own, other = (scored_rows(each[number], window, str(self.xml)) for each in (exact, outputs))
        return float(compare_logits(own, other, window).kl.mean())


def _first(samples: Sequence[Inputs]) -> Iterator[Inputs]:
    """As many as make up enough tokens, or all."""
    tokens = 0
    for inputs in samples:
        if tokens >= _TOKENS:
            return
        yield inputs
        tokens += inputs[IDS].size


def _rows_and_columns(own: LayerWeights) -> tuple[int, int]:
    """N and K, all matrices of a batch counted."""
    return math.prod(own.output.get_shape()) // own.layer.k, own.layer.k


def _share(exact: Array, other: Array) -> float:
    energy = float(np.square(exact, dtype=np.float64).sum())
    return float(np.square(other - exact, dtype=np.float64).sum()) / (energy or 1.0)
