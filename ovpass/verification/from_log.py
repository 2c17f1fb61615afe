"""Compare a plan with an intercept log: which activations a GPU quantized on any machine, and how long each took.

The work size of a dynamic_quantize kernel tells which activations it can be of (SetDefault in openvino/src/plugins/
intel_gpu/src/kernel_selector/kernels/dynamic_quantize/dynamic_quantize_kernel_opt.cpp). Measured on OpenVINO 2026.4 for
an Arc A770 and an Arc B580: [tokens, K / group, 1] for groups of up to 32, else [16, blocks, tokens].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.lowerings import Evidence, evidence_of
from ovpass.planning.plan import QUANTIZE, Decision, Plan
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.sites import CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.targets import GPU_XMX, Target
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.names import get_target
from ovpass.transformation.loading import load_sole
from ovpass.verification.expectation import given_plan, plan_as_is
from ovpass.verification.intercept_log import InterceptLog
from ovpass.verification.kernel_calls import KernelCalls, add_calls
from ovpass.verification.question import Question

_SIMD = 16
_MOST_BLOCKS = 32
_ONE_THREAD_A_GROUP = 32
_ANY = ("any", 0)

WorkSize = tuple[str, int]
"""What a work size tells apart from the number of tokens: how activations are split, and into how many parts."""
Planned = dict[WorkSize, list[tuple[CompressedMatMul, int]]]
"""Quantized sites with their group sizes, by the work size of the kernel."""


@dataclass(frozen=True)
class ActivationTime:
    """Activations that a log does not tell apart, and the calls that quantized them.

    `k` and `group_sizes` are theirs, `activations` is how many of them each run quantizes, `sites` the MatMuls that
    read them. `total_ns` is the time on the device, None where the log has none.
    """

    k: tuple[int, ...]
    group_sizes: tuple[int, ...]
    activations: int
    sites: tuple[str, ...]
    calls: int
    total_ns: int | None

    @property
    def average_ns(self) -> float | None:
        """The time of one call."""
        return None if self.total_ns is None or not self.calls else self.total_ns / self.calls


@dataclass(frozen=True)
class LogReport:
    """What a log says of a plan; `problem` says how they differ, None if they agree."""

    times: tuple[ActivationTime, ...]
    problem: str | None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the device did what was planned, as far as a log shows it."""
        return self.problem is None


def verify_log(
    source: Path | str, log: InterceptLog, question: Question, plans: Mapping[str, Plan] | None = None
) -> LogReport:
    """Compare the plan of a model with a log of running it.

    Without a plan the rules of `question.target` apply, else those of gpu-xmx.

    Raises:
        OvpassError: for a bad model or plan.
        SettingsError: if a log cannot show what was planned.
    """
    loaded = load_sole(source, "log")
    plan = given_plan(loaded, plans) or recorded_plan(loaded.document.metadata)
    notes = []
    if plan is None:
        rules = question.target or question.simulate or GPU_XMX.name
        plan = plan_as_is(loaded, question, rules)
        notes = (
            [] if question.target or question.simulate else [f"the rules are those of {rules}; --device names others"]
        )
    target = get_target(plan.settings.target)
    _check_shown(plan, target)
    report = _compared(plan, loaded.sites, log)
    if not log.dynamic_quantize_calls and report.times:
        threshold = target.default_threshold if plan.settings.threshold is None else plan.settings.threshold
        reasons = f"no run had more than {threshold} tokens, compute was in f32, or the log is of another model"
        report = replace(report, problem=f"{report.problem}: {reasons}")
    return replace(report, notes=(*notes, *report.notes))


def _check_shown(plan: Plan, target: Target) -> None:
    if evidence_of(plan) is not Evidence.PLUGIN:
        raise SettingsError(f"lowering {plan.settings.lowering} has no dynamic_quantize kernel: a log does not show it")
    if not target.per_site_group_size:
        raise SettingsError(
            f"target {target.name} has no dynamic_quantize kernel: a log does not show what it quantizes. "
            "'ovpass verify MODEL' on that machine does"
        )


def _compared(plan: Plan, sites: Sequence[CompressedMatMul], log: InterceptLog) -> LogReport:
    by_size = _planned(plan, sites)
    calls = _calls(log, by_size)
    times = tuple(_time(members, calls.pop(size, None)) for size, members in by_size.items())
    planned, missing = sum(time.activations for time in times), [time for time in times if not time.calls]
    notes = [
        f"{counted(time.calls, 'call')} for {counted(time.activations, 'activation')}: some runs are not complete, or "
        "were of other lengths"
        for time in times
        if time.calls % time.activations
    ]
    if calls:
        notes.append(
            f"{counted(sum(one.calls for one in calls.values()), 'call is', 'calls are')} of no planned activation"
        )
    if len(times) == 1 and len(times[0].k) > 1 and _ANY in by_size:
        notes.append("the log has no work sizes, which tell activations apart; 'cliloader -dv' records them")
    problem = None
    if not planned and log.dynamic_quantize_calls:
        problem = f"the plan quantizes nothing, and the log has {counted(log.dynamic_quantize_calls, 'call')}"
    elif missing:
        first, number = missing[0].sites[0], sum(time.activations for time in missing)
        problem = (
            f"{number} of {counted(planned, 'activation')} without a dynamic_quantize call, that of {first} for one"
        )
    return LogReport(times, problem, tuple(notes))


def _planned(plan: Plan, sites: Sequence[CompressedMatMul]) -> Planned:
    by_name = {site.name: site for site in sites}
    found: Planned = defaultdict(list)
    for decision in plan.chosen(QUANTIZE):
        site, group = by_name[decision.name], _group_size(decision)
        found[_work_size(site.k, group)].append((site, group))
    return found


def _group_size(decision: Decision) -> int:
    return PER_TOKEN if decision.group_size is None else decision.group_size


def _work_size(k: int, group: int) -> WorkSize:
    if group <= _ONE_THREAD_A_GROUP:
        return "groups", k // group
    vector = next((size for size in (8, 4, 2) if (k // _SIMD) % size == 0 and _SIMD * size <= group), 1)
    blocks = k // (_SIMD * vector)
    return "blocks", min(blocks, _MOST_BLOCKS) if group == PER_TOKEN else blocks


def _calls(
    log: InterceptLog, planned: dict[WorkSize, list[tuple[CompressedMatMul, int]]]
) -> dict[WorkSize, KernelCalls]:
    """The log's calls by work size; all together, and `planned` likewise, where the log does not tell them apart."""
    kernels = log.dynamic_quantize_by_work_size
    if kernels and not all(len(kernel.work_size) == 3 for kernel in kernels):
        together = [member for members in planned.values() for member in members]
        planned.clear()
        if together:
            planned[_ANY] = together
        return {_ANY: reduce(add_calls, kernels)}
    found: dict[WorkSize, KernelCalls] = {}
    for kernel in kernels:
        first, second, third = kernel.work_size
        size = ("groups" if third == 1 and first != _SIMD else "blocks", second)
        found[size] = add_calls(found[size], kernel) if size in found else kernel
    return found


def _time(members: Sequence[tuple[CompressedMatMul, int]], calls: KernelCalls | None) -> ActivationTime:
    return ActivationTime(
        k=tuple(sorted({site.k for site, _ in members})),
        group_sizes=tuple(sorted({group for _, group in members})),
        activations=len({(site.group_id, group) for site, group in members}),
        sites=tuple(site.name for site, _ in members),
        calls=calls.calls if calls else 0,
        total_ns=calls.total_ns if calls else None,
    )
