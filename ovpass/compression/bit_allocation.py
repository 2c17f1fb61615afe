"""Give more bits to the layers that need them most, a step at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ovpass.compression.modes import VECTOR_STEPS, vector_encoding
from ovpass.formats.vector_encoding import VectorEncoding

_ERRORS = {"vq2": 1.0, "vq3": 0.34, "vq4": 0.1}
"""Squared errors of outputs by those in vq2: of the layers of a block of SmolLM2, which differ by a tenth."""


@dataclass(frozen=True)
class Layers:
    """Layers that read one activation, and get one encoding.

    `shapes` are their N and K. `harm` is what they alone do to the predictions of the model in the mode with the fewest
    bits: KL divergence in nats per token. It grows with the squared error of their outputs.
    """

    shapes: tuple[tuple[int, int], ...]
    harm: float = 0.0

    @property
    def weights(self) -> int:
        """How many they have."""
        return sum(n * k for n, k in self.shapes)

    def bits(self, mode: str) -> float:
        """Bits of all codes and scales, and of the codebooks that they share."""
        encoding = vector_encoding(mode)
        return sum(n * k * _bits_of_row(encoding, k) for n, k in self.shapes) + encoding.codebook_bits


@dataclass(frozen=True)
class Step:
    """The layers of that number get `mode`: it takes `bits` more in all, and saves `harm` in nats per token."""

    number: int
    mode: str
    bits: float
    harm: float


def average_bits(layers: Sequence[Layers], modes: Sequence[str]) -> float:
    """Bits a weight in these modes."""
    bits = sum(each.bits(mode) for each, mode in zip(layers, modes, strict=True))
    return bits / sum(each.weights for each in layers)


def steps(layers: Sequence[Layers], mode: str, budget: float = math.inf) -> Iterator[Step]:
    """Steps up from `mode` for all, the one first that saves most harm for its bits.

    They are those that fit into `budget` bits a weight, one after the other, until no further step fits.
    """
    ladder = VECTOR_STEPS[VECTOR_STEPS.index(mode) :]
    place = [0] * len(layers)
    left = (budget - average_bits(layers, [mode] * len(layers))) * sum(each.weights for each in layers)
    while possible := [
        step
        for number, own in enumerate(layers)
        for higher in ladder[place[number] + 1 :]
        if (step := _step(number, own, ladder[0], ladder[place[number]], higher)).bits <= left and step.harm > 0
    ]:
        best = max(possible, key=lambda step: (step.harm / step.bits, -step.number, -step.bits))
        place[best.number] = ladder.index(best.mode)
        left -= best.bits
        yield best


def modes_after(taken: Iterable[Step], count: int, mode: str) -> list[str]:
    """The modes of `count` layers after these steps up from `mode`."""
    modes = [mode] * count
    for step in taken:
        modes[step.number] = step.mode
    return modes


def _step(number: int, own: Layers, first: str, before: str, higher: str) -> Step:
    saved = own.harm * (_ERRORS[before] - _ERRORS[higher]) / _ERRORS[first]
    return Step(number, higher, own.bits(higher) - own.bits(before), saved)


def _bits_of_row(encoding: VectorEncoding, k: int) -> float:
    return encoding.code_bits + encoding.scale_bits(k)
