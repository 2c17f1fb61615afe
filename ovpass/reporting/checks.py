"""Check that a run does not contradict itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ovpass.errors import OvpassError, SettingsError
from ovpass.planning.plan import ACTIONS, QUANTIZE
from ovpass.planning.run_settings import checked_environment, checked_properties
from ovpass.reporting.measurements import BenchRun, TuneRun
from ovpass.reporting.schema import InspectRun, PlanRun, VerifyRun
from ovpass.reporting.sites import OFF
from ovpass.settings.settings import settings_from_dict


class RunError(OvpassError):
    """A file that is no run of a command, or runs that do not belong together."""


def check_run(found: Any, source: str) -> None:
    """Make sure that a command can have found this.

    Raises:
        RunError: naming the first thing that cannot be.
    """
    for problem in _problems(found):
        raise RunError(f"{source}: is damaged, or of another version of ovpass: {problem}")


def _problems(found: Any) -> Iterator[str]:
    if isinstance(found, InspectRun):
        yield from _twice(found.sites)
    elif isinstance(found, PlanRun):
        yield from _of_plan(found)
    elif isinstance(found, VerifyRun):
        yield from _of_verify(found)
    elif isinstance(found, TuneRun):
        yield from _of_plan(found.plan)
        yield from _of_points(found)
    elif isinstance(found, BenchRun) and (
        not found.subjects or any(not 0 <= m.subject < len(found.subjects) for m in found.measurements)
    ):
        yield "it has measurements of models that it does not name"


def _of_plan(plan: PlanRun) -> Iterator[str]:
    try:
        settings_from_dict(plan.settings)
    except SettingsError as error:
        yield f"settings: {error}"
    try:
        checked_environment(plan.run_environment)  # the page shows them to be typed
        checked_properties(plan.run_properties)
    except ValueError as error:
        yield str(error)
    yield from _twice(plan.decisions)
    for entry in plan.decisions:
        if entry.action not in ACTIONS:
            yield f"{entry.name}: {entry.action!r:.60} is not an action"
        if entry.action == QUANTIZE and entry.group_size in (None, "0"):
            yield f"{entry.name}: it is to be quantized and has no group size"


def _of_verify(seen: VerifyRun) -> Iterator[str]:
    yield from _twice(seen.sites)
    differing = {(entry.submodel, entry.name) for entry in seen.mismatches}
    unknown = differing - {(entry.submodel, entry.name) for entry in seen.sites}
    if unknown:
        yield f"{min(unknown)[1]} is not as planned, and is not a site"
    if not seen.error and seen.ok is bool(differing):
        yield f"ok is {str(seen.ok).lower()} with {len(differing)} sites not as planned"
    for entry in seen.sites:
        on = OFF in (entry.planned, entry.found) and entry.planned != entry.found
        if on and (entry.submodel, entry.name) not in differing:
            yield f"{entry.name}: planned {entry.planned}, found {entry.found}, and not among those that differ"


def _of_points(tuned: TuneRun) -> Iterator[str]:
    for point in (tuned.chosen, *tuned.frontier, *tuned.measured):
        if point.left_out < 0 or point.share < 0 or point.share > 1 + 1e-6:
            yield f"a plan with {point.left_out} sites left out and {point.share} of the work"


def _twice(entries: Iterable[Any]) -> Iterator[str]:
    counts = Counter((entry.submodel, entry.name) for entry in entries)
    for (_, name), times in counts.items():
        if times > 1:
            yield f"{name} is named {times} times"
