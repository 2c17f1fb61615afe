"""Tune with a KV cache: the smallest that leaves room in the budget, then the plan for activations beside it.

The cache may take half of the budget, to the upper end of its interval; activations get the rest. Costs nearly add up
(measured). Both together are then measured on held-out text, and activations get less until the whole budget is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovpass.errors import SettingsError
from ovpass.evaluation.summary import Interval
from ovpass.planning.cache_options import asked_cache
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.targets.names import get_target
from ovpass.tuning.budget import NOTHING, Budget, Spent
from ovpass.tuning.deadline import Deadline, TimeIsUp
from ovpass.tuning.experiment import Experiment, as_experiment
from ovpass.tuning.kv_candidates import CacheKind, cache_kinds, caches_of
from ovpass.tuning.kv_layers import losses_by_layer
from ovpass.tuning.kv_runner import (
    DEVICE,
    CacheRunner,
    cache_candidate,
    check_chunk,
    chunk_for,
    longest_window,
    plan_candidate,
)
from ovpass.tuning.kv_tuned import CachePoint, TunedCache
from ovpass.tuning.tune import check_minutes, tune
from ovpass.tuning.tuned import Tuned

SHARE = 0.5
"""Of the budget for the cache."""
_STRICTER = (1.0, 0.7, 0.4)
"""Of what the cache leaves, for activations: the next is tried if the whole exceeds the budget."""


def tune_with_cache(
    experiment: Experiment | Path | str,
    budget: Budget,
    kv: str,
    *,
    exact: bool = False,
    minutes: float | None = None,
    frontier: bool = False,
) -> Tuned:
    """As `tune`, and the KV cache: `kv` names types by comma, or is "auto" for all that the target stores.

    Raises:
        OvpassError: for an invalid model, setting or text, and a model without a KV cache.
    """
    check_minutes(minutes)
    given = as_experiment(experiment)
    if asked := asked_cache(given.settings):
        raise SettingsError(f"--kv chooses {', '.join(asked)}; leave the runtime option out, or --kv")
    check_chunk(longest_window(given), chunk_for(given.plan))
    started = time.monotonic()
    cache = _cache(replace(given, progress=Deadline(given.progress, minutes)), budget, kv, minutes)
    settings = replace(
        given.settings, runtime_options={**given.settings.runtime_options, **(cache.chosen.kind.options or {})}
    )
    left = None if minutes is None else max(minutes - (time.monotonic() - started) / 60, 1e-3)

    def find(experiment: Experiment, rest: Budget) -> Tuned:
        return tune(experiment, rest, exact=exact, minutes=left, frontier=frontier)

    return _together(replace(given, settings=settings), budget, cache, find)


def _cache(experiment: Experiment, budget: Budget, kv: str, minutes: float | None) -> TunedCache:
    try:
        return _Search(experiment, _part(budget, SHARE), kv).run()
    except TimeIsUp:
        raise SettingsError(
            f"--minutes {minutes:g}: no KV cache was found in that time; measurements are kept, "
            "so the same command goes on from here"
        ) from None


@dataclass(frozen=True)
class _Search:
    experiment: Experiment
    budget: Budget
    kv: str

    def run(self) -> TunedCache:
        """Measure from the smallest on until one is within the budget; those that are only emulated, all."""
        kinds = cache_kinds(get_target(self.experiment.settings.target), caches_of(self.experiment.ir), self.kv)
        chunk = chunk_for()
        runner = CacheRunner(self.experiment, chunk)
        points: list[CachePoint] = []
        chosen: CachePoint | None = None
        for kind in kinds:
            if kind.options is not None and chosen is not None:
                continue
            points.append(CachePoint(kind, self._spent(runner, kind)))
            if kind.options is not None and self._holds(points[-1]):
                chosen = points[-1]
        assert chosen is not None, "the last floating-point type costs nothing"
        beyond = next((point.kind for point in points if not self._holds(point) and not point.kind.exact), None)
        losses = () if beyond is None else tuple(losses_by_layer(self.experiment, beyond, chunk))
        return TunedCache(chosen, tuple(points), chunk, _in_f16(kinds), beyond, losses)

    def _holds(self, point: CachePoint) -> bool:
        return self.budget.allows(point.spent)

    def _spent(self, runner: CacheRunner, kind: CacheKind) -> Spent:
        if _free(self.experiment, kind):
            return NOTHING
        return runner.decided(cache_candidate(self.experiment, kind), self.budget, "search")


def _in_f16(kinds: Sequence[CacheKind]) -> float:
    return next(kind.bytes_per_token for kind in kinds if kind.key.element_type == kind.value.element_type == "f16")


def _together(
    experiment: Experiment, budget: Budget, cache: TunedCache, find: Callable[[Experiment, Budget], Tuned]
) -> Tuned:
    """The plan for activations beside the cache, under a stricter budget until the whole is kept."""
    rest = _rest(budget, cache.chosen.spent)
    for share in _STRICTER:
        tuned = find(experiment, _part(rest, share))
        spent = _joint(experiment, budget, cache, tuned.plan)
        if budget.allows(spent):
            break
    tokens = {**tuned.plan.evidence["tokens"], "held_out": spent.tokens}
    whole = {"budget": budget.limits, "held_out": spent.to_dict(), "tokens": tokens, "kv_cache": _evidence(cache)}
    plan = replace(tuned.plan, evidence={**tuned.plan.evidence, **whole})
    return replace(tuned, plan=plan, held_out=spent, holds=budget.allows(spent), cache=cache)


def _joint(experiment: Experiment, budget: Budget, cache: TunedCache, plan: Plan) -> Spent:
    """What the plan and the cache cost together on held-out text."""
    emulated = experiment.plan_for(plan.settings)
    if not emulated.chosen(QUANTIZE) and _free(experiment, cache.chosen.kind):
        return NOTHING
    runner = CacheRunner(experiment, chunk_for(emulated))
    return runner.decided(plan_candidate(experiment, plan.settings), budget, "held out")


def _free(experiment: Experiment, kind: CacheKind) -> bool:
    """Whether a cache is exact in evaluations, which leave out what a GPU's floating point costs."""
    on_cpu = get_target(experiment.settings.target).device == DEVICE
    return kind.exact and (not on_cpu or kind.key.element_type == "f32")


def _evidence(cache: TunedCache) -> dict[str, Any]:
    kind, spent = cache.chosen.kind, cache.chosen.spent
    told = {"keys": str(kind.key), "values": str(kind.value), "bytes_per_token": kind.bytes_per_token}
    return {**told, "chunk_tokens": cache.chunk, "search": spent.to_dict()}


def _part(budget: Budget, share: float) -> Budget:
    return Budget(
        *(None if limit is None else share * limit for limit in (budget.max_kl, budget.max_perplexity_percent))
    )


def _rest(budget: Budget, spent: Spent) -> Budget:
    """What a cost that is within the budget leaves, to the upper ends of its intervals."""

    def left(limit: float | None, interval: Interval | None) -> float | None:
        return None if limit is None or interval is None else limit - max(0.0, interval[1])

    return Budget(
        left(budget.max_kl, spent.kl_interval), left(budget.max_perplexity_percent, spent.perplexity_interval)
    )
