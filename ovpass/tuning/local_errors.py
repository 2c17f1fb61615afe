"""What quantization does to the block it is in: a cheap guess at its cost.

A site is switched on, its block alone runs, and what the block hands on is compared with what it hands on without.
Blocks normalize what they read, so that the error counts as a share of the tensor's own energy. Shares rank sites like
their costs do (measured): neither the blocks that follow nor the vocabulary have to be computed for each site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ovpass.evaluation.compiled_segment import Tensors
from ovpass.ir.graph import Output
from ovpass.sites import CompressedMatMul

Array = npt.NDArray[Any]

_FIRST = 0.1
"""What the first token adds: all others attend to it, so its error is an error of all. Measured: with 0.03 to 0.3 the
worst sites are found better than without."""


class Switched(Protocol):
    """A compiled segment with switches."""

    @property
    def sent(self) -> Sequence[Output]:
        """What later segments read of it."""

    @property
    def sites(self) -> Sequence[CompressedMatMul]:
        """Those with a switch."""

    def run(self, feed: Mapping[str, Array], tensors: Tensors, choice: Mapping[str, int]) -> list[Array]:
        """All outputs for one window, what is sent first."""


def local_errors(
    segments: Iterable[Switched], feed: Mapping[str, Array], choices: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    """The error of each choice by its name, as a share of the energy of what its blocks hand on.

    For choices in several blocks, the sum over these. A choice in no block that hands something on is left out.
    """
    tensors, found = dict[Output, Array](), dict[str, float]()
    for segment in segments:
        count = len(segment.sent)
        exact = [np.array(values) for values in segment.run(feed, tensors, {})[:count]]
        for name, choice in choices.items():
            if count and any(site.name in choice for site in segment.sites):
                noisy = segment.run(feed, tensors, choice)[:count]
                found[name] = found.get(name, 0.0) + sum(map(_share, exact, noisy))
        tensors.update(zip(segment.sent, exact, strict=True))
    return found


def _share(exact: Array, noisy: Array) -> float:
    """The energy of the difference by that of the tensor, a mean over tokens, to which the first one adds more."""
    if not np.issubdtype(exact.dtype, np.floating) or exact.ndim == 0 or np.array_equal(exact, noisy):
        return 0.0
    wide = exact.astype(np.float64)
    energy = np.maximum(np.square(wide).sum(-1), np.finfo(np.float64).tiny)
    shares = (np.square(noisy - wide).sum(-1) / energy).reshape(-1)
    return float(shares.mean() + _FIRST * shares[0])
