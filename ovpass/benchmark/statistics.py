"""Medians, and bootstrap confidence intervals of their ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 4000
_LEVEL = 95.0
_LEAST = 3
"""With fewer rounds an interval would tell nothing."""


@dataclass(frozen=True)
class Ratio:
    """A ratio to the first model, and its 95 % confidence interval, None for fewer than three rounds."""

    value: float
    interval: tuple[float, float] | None


def median(samples: Sequence[float]) -> float:
    """The middle sample."""
    return float(np.median(samples))


def paired_ratio(samples: Sequence[float], reference: Sequence[float], seed: int = 0) -> Ratio:
    """The median over rounds of sample / reference of the same round: what slows a whole round down cancels.

    The interval is the percentile bootstrap (Efron 1979) of that median: rounds drawn anew with replacement.
    """
    ratios = np.asarray(samples, np.float64) / np.asarray(reference, np.float64)
    value = float(np.median(ratios))
    if len(ratios) < _LEAST:
        return Ratio(value, None)
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [50 - _LEVEL / 2, 50 + _LEVEL / 2])
    return Ratio(value, (float(low), float(high)))
