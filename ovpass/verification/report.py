"""Compare the plan with the plugin's result, site by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.planning.plan import QUANTIZE, REPLACE, Decision, Plan
from ovpass.support.formatting import counted
from ovpass.support.shown import Shown
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size
from ovpass.verification.observation import TokenRun

OTHERWISE = -1
"""The group size found where an activation is quantized in a way that cannot be told."""
KERNEL = -2
"""Stands for a MatMul that a kernel of ours computes."""


@dataclass(frozen=True)
class SiteCheck:
    """One site: the group sizes planned and found (None: not quantized; KERNEL), and whether they agree."""

    name: str
    planned: int | None
    found: int | None
    agrees: bool
    reason: str


@dataclass(frozen=True)
class ThresholdRun:
    """How many of the quantizers ran for inputs of `tokens` tokens."""

    tokens: int
    executed: int
    skipped: int


@dataclass(frozen=True)
class CacheCheck:
    """The options of the KV cache that were planned, and what the compiled model reports."""

    planned: Mapping[str, str]
    found: Mapping[str, str]

    @property
    def agrees(self) -> bool:
        """Whether all are as planned."""
        return dict(self.planned) == dict(self.found)

    def __str__(self) -> str:
        found = ", ".join(f"{name}={value}" for name, value in self.found.items())
        planned = ", ".join(f"{name}={value}" for name, value in self.planned.items())
        return f"the KV cache has {found}" + ("" if self.agrees else f", planned is {planned}")


@dataclass(frozen=True)
class Report(Shown):
    """The answer to one verification. `ok` is false where a site, or the KV cache, differs from its plan.

    `cache` is None if the plan has no options for a KV cache, or the device does not report them.
    `device_name` is what the device calls itself, and `driver` the version of its driver; None for the CPU.
    """

    device: str
    simulated: str | None
    sites: tuple[SiteCheck, ...]
    dynamic_quantize_nodes: int
    thresholds: tuple[ThresholdRun, ...] = ()
    threshold: int | None = None
    notes: tuple[str, ...] = ()
    device_name: str | None = None
    driver: str | None = None
    cache: CacheCheck | None = None

    @property
    def mismatches(self) -> list[SiteCheck]:
        """The sites that differ."""
        return [site for site in self.sites if not site.agrees]

    @property
    def ok(self) -> bool:
        """Whether the plugin did what was planned."""
        return not self.mismatches and (self.cache is None or self.cache.agrees)


def compare(plan: Plan, found: Mapping[str, int | None]) -> list[SiteCheck]:
    """Check every decision of `plan` against the group sizes found; a site not found counts as not quantized."""
    return [_check(decision, found) for decision in plan.decisions]


def _check(decision: Decision, found: Mapping[str, int | None]) -> SiteCheck:
    planned = {QUANTIZE: decision.group_size, REPLACE: KERNEL}.get(decision.action)
    seen = found.get(decision.name)
    whole = planned is not None and seen is not None and min(planned, seen) > 0 and _whole(planned, seen, decision)
    agrees = planned == seen or whole
    missing = "" if decision.name in found else "; the compiled model shows no MatMul of that name"
    return SiteCheck(decision.name, planned, seen, agrees, f"planned because: {decision.reason}{missing}")


def _whole(planned: int, seen: int, decision: Decision) -> bool:
    """Whether both groups are all of K, which has several spellings."""
    k = int(decision.weights.rpartition("x")[2])
    return min(planned, PER_TOKEN) >= k and seen >= k


def verdict_of(report: Report) -> str:
    """How many sites are as planned, and on what."""
    agree = len(report.sites) - len(report.mismatches)
    nodes = "" if report.device == "CPU" else f"; {counted(report.dynamic_quantize_nodes, 'DynamicQuantize node')}"
    device = report.device if report.simulated else ", ".join(filter(None, (report.device, report.device_name)))
    return f"{agree} of {counted(len(report.sites), 'site')} as planned on {device}{nodes}."


def threshold_in_words(threshold: int) -> str:
    """For how many tokens quantization runs."""
    if threshold == 0:
        return "Quantization runs for any number of tokens."
    return f"Quantization is skipped up to {counted(threshold, 'token')}."


def describe(group_size: int | None) -> object:
    """A group size, or that there is none, for people and JSON."""
    if group_size in (OTHERWISE, KERNEL):
        return "otherwise" if group_size == OTHERWISE else "kernel"
    return "not quantized" if group_size is None else format_group_size(group_size)


def runs_summary(runs: Sequence[TokenRun]) -> tuple[ThresholdRun, ...]:
    """Count what ran for each number of tokens."""
    counted = ((run.tokens or 0, sum(run.executed.values()), len(run.executed)) for run in runs)
    return tuple(ThresholdRun(tokens, ran, total - ran) for tokens, ran, total in counted)
