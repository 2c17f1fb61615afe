"""Encode the weights of all layers of a model, those that read one activation together, and keep them on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import openvino as ov

from ovpass.compression.calibration import Inputs
from ovpass.compression.encoded_store import EncodedStore
from ovpass.compression.hessians import SharedActivation, second_moments
from ovpass.compression.layer_weights import LayerWeights
from ovpass.formats import FORMATS
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.progress import Progress
from ovpass.support.threads import in_threads

Array = npt.NDArray[Any]

Encode = Callable[[Sequence[Array], Array | None, Encoding], Sequence[EncodedWeights]]
"""Gets the weights [..., N, K] (f32) of the layers that read one activation, and its second moments [K, K]: of a text
if the recipe looks at one, else of random token ids; None for models without text and weights that are no matrix."""


@dataclass(frozen=True)
class EncodingRun:
    """`groups` are the names of layers that are encoded together, those of the `activations` first.

    `model` is the one whose activations are looked at, on `inputs`. `store` has what was encoded before.
    """

    model: ov.Model
    activations: Sequence[SharedActivation]
    groups: Sequence[Sequence[str]]
    weights: Mapping[str, LayerWeights]
    inputs: Sequence[Inputs]
    encode: Encode
    store: EncodedStore
    progress: Progress

    def encoded(self, encodings: Sequence[Encoding], what: str) -> Iterator[Sequence[EncodedWeights]]:
        """The weights of each group in turn; what the store has is not encoded again."""
        ready = [self.store.get(number, encoding) is not None for number, encoding in enumerate(encodings)]
        missing = [activation for activation, done in zip(self.activations, ready, strict=False) if not done]
        moments = self._moments(missing)

        def task(number: int) -> Callable[[], Sequence[EncodedWeights]]:
            if ready[number]:
                return lambda: self.store.get(number, encodings[number]) or ()
            own = next(moments) if number < len(self.activations) else None
            values = [self.weights[name].values() for name in self.groups[number]]

            def encode() -> Sequence[EncodedWeights]:
                encoded = self.encode(values, own, encodings[number])
                self.store.put(number, encoded)
                return encoded

            return encode

        for number, encoded in enumerate(in_threads(map(task, range(len(self.groups))))):
            yield encoded
            self.progress(f"{what}: {number + 1} of {len(self.groups)}")

    def decoded(self, number: int, encoding: Encoding) -> dict[str, Array]:
        """What encoded weights of a group stand for, [..., N, K] in f32 by the name of the layer.

        Raises:
            LookupError: if they were not encoded.
        """
        encoded = self.store.get(number, encoding)
        if encoded is None:
            raise LookupError(f"group {number} is not encoded as {encoding}")
        decode = FORMATS[encoding.format].decode
        return {name: decode(each) for name, each in zip(self.groups[number], encoded, strict=True)}

    def _moments(self, activations: Sequence[SharedActivation]) -> Iterator[Array | None]:
        """The second moments of each activation."""
        if not self.inputs:
            yield from (None for _ in activations)
            return

        def count(done: int, total: int) -> None:
            self.progress(f"calibrating: sample {done} of {total}")

        for activation, moments in second_moments(self.model, activations, self.inputs, progress=count):
            outputs = (self.weights[name].output for name in activation.matmuls)
            matrices = all(output.get_partial_shape().rank.get_length() == 2 for output in outputs)
            yield moments if matrices else None
