"""The accuracy budget, and the share of work that a plan quantizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ovpass.errors import SettingsError
from ovpass.evaluation.summary import Interval
from ovpass.sites import CompressedMatMul
from ovpass.tuning.sequential import Sums, mean_beside, mean_of

RESCALE = 8
"""What ends a group costs as much as this many of its multiply-accumulates: the order of plans, no measured time."""

_LEAST = 1e-3
_LARGEST = 700.0
"""Nats; the exponential of more is no number."""


@dataclass(frozen=True)
class Spent:
    """What a choice costs on some windows: mean KL in nats per token, and the change of perplexity in percent.

    Each has a confidence interval, None where there is too little text for one. `tokens` were scored.
    """

    kl: float
    perplexity_percent: float
    kl_interval: Interval | None = None
    perplexity_interval: Interval | None = None
    tokens: int = 0

    @staticmethod
    def of(sums: Sums, longest: Sums | None = None) -> Spent:
        """Over all tokens; `longest` are the sums of another choice over the same text and more that follows."""
        if longest is None or len(longest.tokens) <= len(sums.tokens):
            kl, change = mean_of(sums.kl, sums.tokens), mean_of(sums.change, sums.tokens)
        else:
            kl = mean_beside(sums.kl, longest.kl, longest.tokens)
            change = mean_beside(sums.change, longest.change, longest.tokens)
        divergence = None if kl.interval is None else (max(0.0, kl.interval[0]), kl.interval[1])
        percent = None if change.interval is None else (_percent(change.interval[0]), _percent(change.interval[1]))
        return Spent(kl.value, _percent(change.value), divergence, percent, sum(sums.tokens))

    def with_text(self, times: float) -> Spent:
        """The same on so many times the text, if all of it cost as much: intervals shrink with the root of that."""

        def shrunk(interval: Interval | None, mean: float) -> Interval | None:
            low, high = interval or (mean, mean)
            part = 1 / math.sqrt(times)
            return interval and (mean + part * (low - mean), mean + part * (high - mean))

        divergence = shrunk(self.kl_interval, self.kl)
        percent = shrunk(self.perplexity_interval, self.perplexity_percent)
        return replace(self, kl_interval=divergence, perplexity_interval=percent, tokens=round(times * self.tokens))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        intervals = {"kl_interval": self.kl_interval, "perplexity_interval": self.perplexity_interval}
        plain = {key: None if interval is None else list(interval) for key, interval in intervals.items()}
        return {"kl": self.kl, "perplexity_percent": self.perplexity_percent, **plain, "tokens": self.tokens}


NOTHING = Spent(0.0, 0.0, (0.0, 0.0), (0.0, 0.0))
"""What a plan costs that quantizes nothing."""


def _percent(change: float) -> float:
    return 100 * math.expm1(min(change, _LARGEST))


@dataclass(frozen=True)
class Budget:
    """The accuracy budget: KL divergence in nats per token, and increase of perplexity in percent. None is no limit."""

    max_kl: float | None = None
    max_perplexity_percent: float | None = None

    def __post_init__(self) -> None:
        limits = {"max-kl": self.max_kl, "max-ppl-increase": self.max_perplexity_percent}
        if all(limit is None for limit in limits.values()):
            raise SettingsError("set a budget: --max-kl in nats per token, --max-ppl-increase in percent, or --preset")
        for name, limit in limits.items():
            if limit is not None and not 0 < limit < math.inf:
                raise SettingsError(f"--{name} {limit:g}: a budget is a finite number above 0")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that there are, by name."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    def allows(self, spent: Spent) -> bool:
        """Whether the cost is within the budget, to the upper ends of its intervals."""
        return all(interval is not None and interval[1] <= limit for limit, interval in self._limits(spent))

    def excludes(self, spent: Spent) -> bool:
        """Whether the cost exceeds the budget, from the lower ends of its intervals on."""
        if not math.isfinite(spent.kl):
            return True
        return any(interval is not None and interval[0] > limit for limit, interval in self._limits(spent))

    def severity(self, spent: Spent) -> float:
        """The cost, to the upper end of its interval, as a share of the limit that it is nearest to; above 0."""
        shares = [interval[1] / limit if interval else math.inf for limit, interval in self._limits(spent)]
        return max(*shares, _LEAST)

    def _limits(self, spent: Spent) -> list[tuple[float, Interval | None]]:
        limits = (self.max_kl, spent.kl_interval), (self.max_perplexity_percent, spent.perplexity_interval)
        return [(limit, interval) for limit, interval in limits if limit is not None]


def share_of_work(sites: Sequence[CompressedMatMul], choice: Mapping[str, int]) -> float:
    """The share of all multiply-accumulates that are quantized."""
    return sum(site.macs for site in sites if choice.get(site.name)) / sum(site.macs for site in sites)


def worth(sites: Sequence[CompressedMatMul], choice: Mapping[str, int], ratios: Mapping[str, float]) -> float:
    """The share of work, each site's counted as far as it gains.

    `ratios` are the times expected of sites by the default's, where they were calibrated. Elsewhere smaller groups
    are worth less: each ends with rescaling what was accumulated.
    """
    gained = sum(gain(site, choice[site.name], ratios.get(site.name)) for site in sites if choice.get(site.name))
    return gained / sum(site.macs for site in sites)


def gain(site: CompressedMatMul, group_size: int, ratio: float | None) -> float:
    """Multiply-accumulates that count for a site in groups of that size."""
    return site.macs / (1 + RESCALE / group_size) if ratio is None else site.macs * (1 - ratio)
