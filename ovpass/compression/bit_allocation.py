"""Give more bits to the layers whose outputs suffer most, within bits a weight on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.compression.modes import VECTOR_STEPS, vector_encoding
from ovpass.formats.vector_encoding import VectorEncoding

_ERRORS = {"vq2": 1.0, "vq3": 0.34, "vq4": 0.1}
"""Squared errors of outputs by those in vq2: of the layers of a block of SmolLM2, which differ by a tenth."""


@dataclass(frozen=True)
class Layers:
    """Layers that read one activation, and get one encoding.

    `shapes` are their N and K. `error` is the squared error of their outputs in the mode with the fewest bits, by their
    outputs' squares; None where nothing tells.
    """

    shapes: tuple[tuple[int, int], ...]
    error: float | None = None

    @property
    def weights(self) -> int:
        """How many they have."""
        return sum(n * k for n, k in self.shapes)

    def bits(self, encoding: VectorEncoding) -> float:
        """Of codes, scales, and the codebooks that they share."""
        own = sum(n * k * (encoding.code_bits + encoding.scale_bits(k)) for n, k in self.shapes)
        return own + encoding.codebook_bits


def average_bits(layers: Sequence[Layers], mode: str) -> float:
    """Bits a weight if all of them have one mode."""
    return sum(each.bits(vector_encoding(mode)) for each in layers) / sum(each.weights for each in layers)


def allocate(layers: Sequence[Layers], mode: str, budget: float) -> list[str]:
    """A mode for each, with at most `budget` bits a weight in all, or all in `mode`.

    The step that takes most off the sum of errors for its bits comes first, as long as it fits.
    """
    ladder = VECTOR_STEPS[VECTOR_STEPS.index(mode) :]
    place = [0] * len(layers)
    left = budget * sum(each.weights for each in layers) - sum(each.bits(vector_encoding(mode)) for each in layers)
    while steps := [
        (gain, number, to, cost)
        for number, own in enumerate(layers)
        for to in range(place[number] + 1, len(ladder))
        if (cost := _added(own, ladder[place[number]], ladder[to])) <= left
        and (gain := _saved(own, ladder[0], ladder[place[number]], ladder[to]) / cost) > 0
    ]:
        _, number, to, cost = max(steps, key=lambda step: (step[0], -step[1], -step[2]))
        place[number] = to
        left -= cost
    return [ladder[each] for each in place]


def _added(own: Layers, before: str, after: str) -> float:
    return own.bits(vector_encoding(after)) - own.bits(vector_encoding(before))


def _saved(own: Layers, first: str, before: str, after: str) -> float:
    return (own.error or 0) * (_ERRORS[before] - _ERRORS[after]) / _ERRORS[first]
