"""Measure on more and more text, with intervals that hold however often one looks at them.

A choice is compared with the exact model token by token, so what makes single tokens hard cancels out. Neighboring
tokens depend on each other; sums over runs of tokens hardly do, and the spread of these gives the interval (the method
of batch means).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.summary import Estimate
from ovpass.evaluation.windows import Window
from ovpass.support.extras import extra_module

LOOKS = 6
"""How often a choice is looked at, at most: each time at twice as much text."""
CONFIDENCE = 1 - 0.05 / LOOKS
"""All looks together are right in 95 % of cases (Bonferroni), so single ones have to be in more."""
_RUN = 32
_FEWEST_RUNS = 2


@dataclass(frozen=True)
class Sums:
    """Sums over runs of about 32 tokens: how many tokens, KL in nats, and the change of -ln q in nats."""

    tokens: tuple[int, ...] = ()
    kl: tuple[float, ...] = ()
    change: tuple[float, ...] = ()

    @staticmethod
    def of(windows: Sequence[TokenScores]) -> Sums:
        """The sums of each window; no run reaches into another window."""
        return sum((_sums(window) for window in windows), Sums())

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.tokens + other.tokens, self.kl + other.kl, self.change + other.change)


def _sums(scores: TokenScores) -> Sums:
    count = max(_FEWEST_RUNS, round(len(scores.kl) / _RUN))
    change = scores.nll - scores.reference_nll
    runs = [run for run in np.array_split(np.arange(len(change)), count) if len(run)]
    return Sums(
        tuple(len(run) for run in runs),
        tuple(float(scores.kl[run].sum()) for run in runs),
        tuple(float(change[run].sum()) for run in runs),
    )


def mean_of(sums: Sequence[float], tokens: Sequence[int]) -> Estimate:
    """The mean over all tokens and its interval at `CONFIDENCE`, by Student's t over the runs.

    The variance is that of a ratio of two sums (Cochran, Sampling Techniques, 3rd edition, section 6.3).
    """
    total, runs = sum(tokens), len(tokens)
    mean = float(np.sum(sums)) / total
    if runs < _FEWEST_RUNS or not math.isfinite(mean):
        return Estimate(mean, None)
    rest = np.asarray(sums) - mean * np.asarray(tokens)
    return _estimate(mean, runs / (runs - 1) * float(np.square(rest).sum()) / total**2, runs - 1)


def mean_beside(sums: Sequence[float], other: Sequence[float], tokens: Sequence[int]) -> Estimate:
    """The same, if `other` are the sums of another choice over all of `tokens`, and `sums` those over the first runs.

    What is hard for one choice is hard for the other, too. So the mean moves with what the runs that are missing mean
    for the other: double sampling with regression (Cochran, section 12.6).
    """
    runs = len(sums)
    near, whole = mean_of(sums, tokens[:runs]), mean_of(other, tokens)
    first = mean_of(other[:runs], tokens[:runs]).value
    if runs <= _FEWEST_RUNS or not (math.isfinite(near.value) and math.isfinite(whole.value)):
        return near
    y, x = (
        np.asarray(part[:runs]) - mean * np.asarray(tokens[:runs])
        for part, mean in ((sums, near.value), (other, first))
    )
    slope = float(y @ x) / (float(x @ x) or 1.0)
    rest = runs / (runs - 2) * float(np.square(y - slope * x).sum()) / sum(tokens[:runs]) ** 2
    everywhere = np.asarray(other) - whole.value * np.asarray(tokens)
    shared = len(tokens) / (len(tokens) - 1) * float(np.square(slope * everywhere).sum()) / sum(tokens) ** 2
    return _estimate(near.value + slope * (whole.value - first), rest + shared, runs - 2)


def _estimate(mean: float, variance: float, freedom: int) -> Estimate:
    stats = extra_module("scipy.stats", "eval", "a confidence interval")
    width = math.sqrt(variance) * float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
    return Estimate(mean, (mean - width, mean + width))


def digest(what: str, windows: Sequence[Window]) -> str:
    """A short name for what is measured on these tokens."""
    found = hashlib.sha256(what.encode())
    for window in windows:
        found.update(window.ids.tobytes())
    return found.hexdigest()[:32]


def looks(first: Sequence[Window], later: Sequence[Window]) -> dict[str, list[list[Window]]]:
    """The windows that each look adds, for the "search" and for "held out" text.

    The text is dealt out in turn: `first` to the search, as many of `later` to held-out text, and so on.
    """
    size = len(first)
    blocks = [list(first), *(list(later[start : start + size]) for start in range(0, len(later), size))]
    return {"search": _doubling(blocks[0::2]), "held out": _doubling(blocks[1::2])}


def _doubling(blocks: Sequence[list[Window]]) -> list[list[Window]]:
    """One block, one more, two more, four more, and so on."""
    ends = [0, *(2**look for look in range(LOOKS))]
    added = [list(chain.from_iterable(blocks[start:end])) for start, end in pairwise(ends)]
    return [windows for windows in added if windows]
