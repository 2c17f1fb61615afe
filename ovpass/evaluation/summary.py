"""Summarize token scores, with bootstrap confidence intervals over windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.evaluation.comparison import TokenScores
from ovpass.support.extras import extra_module

Array = npt.NDArray[Any]
Interval = tuple[float, float]

_TRIM = 0.01
_RESAMPLES = 999
_SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % confidence interval by the bootstrap over windows.

    There is no interval for a single window, nor of what is no finite number.
    """

    value: float
    interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"value": self.value, "interval": None if self.interval is None else list(self.interval)}


@dataclass(frozen=True)
class Divergence:
    """KL divergence in nats per token. `trimmed` is the mean without the largest 1 %: single tokens can dominate."""

    mean: Estimate
    median: Estimate
    trimmed: float
    p99: float
    maximum: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        intervals = {
            "mean_interval": None if self.mean.interval is None else list(self.mean.interval),
            "median_interval": None if self.median.interval is None else list(self.median.interval),
        }
        values = {"mean": self.mean.value, "median": self.median.value, "trimmed": self.trimmed}
        return {**values, "p99": self.p99, "max": self.maximum, **intervals}


@dataclass(frozen=True)
class TextSummary:
    """How a candidate's predictions differ from a reference's.

    `perplexity` is exp of the mean -ln q, `delta_percent` its change from the reference's; `top1` is the share of
    tokens at which both think the same token likeliest, in percent.
    """

    perplexity: float
    delta_percent: Estimate
    kl: Divergence
    top1: Estimate
    windows: int
    tokens: int


def summarize(windows: Sequence[TokenScores]) -> TextSummary:
    """Summarize the scores of all windows."""
    kl = [scores.kl for scores in windows]
    change = [np.stack([scores.nll, scores.reference_nll]) for scores in windows]
    everything = np.concatenate(kl)
    return TextSummary(
        perplexity=perplexity(windows),
        delta_percent=estimate(lambda pair: 100 * np.expm1((pair[0] - pair[1]).mean()), change),
        kl=Divergence(
            mean=estimate(np.mean, kl),
            median=estimate(np.median, kl),
            trimmed=trimmed_mean(everything),
            p99=float(np.percentile(everything, 99)),
            maximum=float(everything.max()),
        ),
        top1=estimate(lambda agrees: 100 * agrees.mean(), [scores.agrees for scores in windows]),
        windows=len(windows),
        tokens=len(everything),
    )


def perplexity(windows: Sequence[TokenScores], *, reference: bool = False) -> float:
    """Perplexity of the candidate, or of the reference, over all scored tokens."""
    scores = [w.reference_nll if reference else w.nll for w in windows]
    return float(np.exp(np.concatenate(scores).mean()))


def trimmed_mean(values: Array) -> float:
    """The mean without the largest 1 %."""
    kept = len(values) - int(len(values) * _TRIM)
    return float(np.sort(values)[:kept].mean())


def estimate(statistic: Callable[[Array], Any], windows: Sequence[Array]) -> Estimate:
    """A statistic of all windows joined along their last axis, and its interval.

    Windows are resampled, not tokens: tokens of one window depend on each other.
    """
    value = float(statistic(np.concatenate(windows, axis=-1)))
    if len(windows) < 2 or not math.isfinite(value):
        return Estimate(value, None)
    stats = extra_module("scipy.stats", "eval", "a confidence interval")
    numbers = np.arange(len(windows))

    def resampled(chosen: Array) -> float:
        return float(statistic(np.concatenate([windows[i] for i in chosen], axis=-1)))

    found = stats.bootstrap(
        (numbers,),
        resampled,
        n_resamples=_RESAMPLES,
        vectorized=False,
        method="percentile",
        random_state=np.random.default_rng(_SEED),
    )
    return Estimate(value, (float(found.confidence_interval.low), float(found.confidence_interval.high)))
