"""Match an accuracy measurement to the plan or model it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ovpass.errors import OvpassError
from ovpass.evaluation.candidates import Candidate as Typed
from ovpass.planning.plan import QUANTIZE, plans_from_text
from ovpass.reporting.measurements import Candidate, EvaluateRun
from ovpass.reporting.models import candidate_of, same_model
from ovpass.reporting.runs import Run
from ovpass.reporting.side import Side
from ovpass.reporting.sites import Key
from ovpass.settings.settings import Settings
from ovpass.targets.group_sizes import format_group_size, parse_group_size
from ovpass.targets.names import get_target

Groups = dict[Key, str | None]


@dataclass(frozen=True)
class CandidateResult:
    """A candidate, and whether it is what is shown; None where nothing tells."""

    candidate: Candidate
    fits: bool | None


def matched(side: Side) -> CandidateResult | None:
    """The candidate that is what is shown, else one that may be, else the first."""
    found = [
        CandidateResult(candidate, _fits(side, run, candidate))
        for run in side.runs
        if isinstance(run.found, EvaluateRun)
        for candidate in run.found.candidates
    ]
    return min(found, key=lambda entry: (True, None, False).index(entry.fits), default=None)


def is_tuned(side: Side) -> bool:
    """Whether the plan that is shown is that which tune chose."""
    tuned, planned = side.tuned, side.planned
    if tuned is None or planned is None:
        return False
    return {(d.name, d.action, d.group_size) for d in planned.decisions} == {
        (d.name, d.action, d.group_size) for d in tuned.plan.decisions
    }


def _fits(side: Side, run: Run, candidate: Candidate) -> bool | None:
    typed = candidate_of(candidate.model)
    if typed is None:
        return None
    own = next((model for model in run.header.models if model.path == str(typed.path)), None)
    if own is not None and side.models and not any(same_model(own, model) for model in side.models):
        return False
    if not side.sites:
        return True
    if typed.plan is not None:
        fits = _fits_file(side, run.header.files.get(str(typed.plan)))
    elif typed.settings is not None:
        fits = _fits_settings(side, typed.settings)
    else:
        fits = _fits_model(side, typed, changed=own is not None and own.changed)
    return None if fits and typed.properties else fits


def _fits_file(side: Side, text: str | None) -> bool | None:
    """Whether a plan in a file decides as is shown."""
    try:
        plans = plans_from_text(text or "")
    except OvpassError:
        return None
    return _groups((key, d.name, d.group_size) for key, plan in plans.items() for d in plan.decisions) == {
        site.key: site.group if site.action == QUANTIZE else None for site in side.sites
    }


def _groups(decided: Iterable[tuple[str, str, int | None]]) -> Groups:
    return {(key, name): None if size is None else str(format_group_size(size)) for key, name, size in decided}


def _fits_settings(side: Side, asked: Settings) -> bool | None:
    """Whether settings are those of the plan, or those that inspect judged by."""
    shown = side.settings
    if shown is None:
        if side.inspected is None:
            return None
        shown = Settings(target=side.inspected.target)
    sizes = {site.group for site in side.sites if site.action == QUANTIZE}
    if _effect(asked) != _effect(shown):
        return False
    if asked.group_size == shown.group_size:
        return True
    if asked.group_size is None or (shown.group_size is None and len(sizes) != 1):
        return None
    return asked.group_size == (shown.group_size or _parsed(sizes.pop()))


def _parsed(group: str | None) -> int | None:
    try:
        return parse_group_size(group)
    except OvpassError:
        return None


def _effect(settings: Settings) -> Settings:
    """Settings without the group size, and without what leaves numbers as they are."""
    own = get_target(settings.target).default_threshold
    return replace(
        settings,
        group_size=None,
        threshold=own if settings.threshold is None else settings.threshold,
        lowering="native" if settings.lowering == "emulate" else settings.lowering,
        exempt_with="auto",
        runtime_options={},
    )


def _fits_model(side: Side, typed: Typed, *, changed: bool) -> bool | None:
    """Whether a model as it is lies where the plan was applied to, or where the plugin was seen to follow it."""
    path = str(typed.path)
    outputs = [run.found.output for run in side.runs if run.header.command == "apply"]
    asked = [model.path for run in side.runs if run.header.command == "verify" for model in run.header.models]
    if path in outputs or (changed and path in asked and not side.strangers):
        return True
    return None if changed or side.planned is None else False
