"""Look at a model: its sites, the decisions for them, and what the plugin makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, overload

from ovpass.api.keywords import QuestionKeywords, SettingsKeywords, settings_of, with_keywords
from ovpass.api.models import InMemory, Source, on_disk
from ovpass.api.plans import Plans, plans_of
from ovpass.api.results import ByModel
from ovpass.cli.output import progress
from ovpass.ir.files import open_source
from ovpass.lowerings.planner import make_plan
from ovpass.planning.plan import Plan
from ovpass.settings.settings import Settings
from ovpass.sites.model_holder import held_model
from ovpass.targets.group_sizes import parse_group_size
from ovpass.targets.names import find_name
from ovpass.transformation.inspection import Inspected, inspect_model, inspect_source
from ovpass.transformation.loading import load, plan_loaded
from ovpass.verification.question import Question
from ovpass.verification.report import Report
from ovpass.verification.verify_model import verify as verify_source

if TYPE_CHECKING:
    from typing_extensions import Unpack


@overload
def inspect(
    model: Path | str,
    *,
    target: str = ...,
    group_size: int | str | None = ...,
    match: str | None = ...,
    quiet: bool = ...,
) -> ByModel[Inspected]: ...
@overload
def inspect(
    model: InMemory,
    *,
    target: str = ...,
    group_size: int | str | None = ...,
    match: str | None = ...,
    quiet: bool = ...,
) -> Inspected: ...
def inspect(
    model: Source,
    *,
    target: str = "gpu-xmx",
    group_size: int | str | None = None,
    match: str | None = None,
    quiet: bool = False,
) -> ByModel[Inspected] | Inspected:
    """List the MatMuls with compressed weights, and which of them the target quantizes.

    The group size in force is `group_size` (elements, or "per-token"), else the model's own, else the target's default.
    `match` is a pattern of the sites to list. A path gives results by submodel, a model in memory one result.

    Raises:
        ModelError: for a file or folder without compressed weights.
        SettingsError: for an unknown target, and for a pattern that picks nothing.
    """
    name = find_name(target).name
    size = parse_group_size(group_size) if isinstance(group_size, str) else group_size
    with progress(quiet=quiet) as step:
        step("reading")
        if isinstance(model, (str, Path)):
            return ByModel({found.key: found for found in inspect_source(open_source(model), name, size, match)})
        return inspect_model(held_model(model), name, size, match)


@overload
def plan(
    model: Path | str,
    settings: Settings | Path | str | None = ...,
    *,
    quiet: bool = ...,
    **keywords: Unpack[SettingsKeywords],
) -> ByModel[Plan]: ...
@overload
def plan(
    model: InMemory,
    settings: Settings | Path | str | None = ...,
    *,
    quiet: bool = ...,
    **keywords: Unpack[SettingsKeywords],
) -> Plan: ...
def plan(
    model: Source,
    settings: Settings | Path | str | None = None,
    *,
    quiet: bool = False,
    **keywords: Unpack[SettingsKeywords],
) -> ByModel[Plan] | Plan:
    """Make the decision for every site, with its reason. The model does not change.

    `settings` can be a file. The keywords are the fields of Settings, which they override, and `exempt`: one or more
    patterns. A path gives plans by submodel, a model in memory one plan.

    Raises:
        ModelError: if there is no site in a file or folder, and if the model already carries a plan.
        SettingsError: for a setting or rule that is not possible.
    """
    chosen = settings_of(settings, keywords)
    with progress(quiet=quiet) as step:
        step("reading")
        if isinstance(model, (str, Path)):
            return ByModel(plan_loaded(load(open_source(model)), chosen))
        return make_plan(held_model(model), chosen)


@overload
def verify(
    source: Path | str,
    question: Question | None = ...,
    plans: Plans | None = ...,
    *,
    quiet: bool = ...,
    **keywords: Unpack[QuestionKeywords],
) -> ByModel[Report]: ...
@overload
def verify(
    source: InMemory,
    question: Question | None = ...,
    plans: Plans | None = ...,
    *,
    quiet: bool = ...,
    **keywords: Unpack[QuestionKeywords],
) -> Report: ...
def verify(
    source: Source,
    question: Question | None = None,
    plans: Plans | None = None,
    *,
    quiet: bool = False,
    **keywords: Unpack[QuestionKeywords],
) -> ByModel[Report] | Report:
    """Compile each model of `source` that has sites, and compare the result with its plan.

    The plan is the argument (a Plan, plans by submodel, or a file), else the plan that `apply` recorded in the model,
    else the plan of the device's target. The keywords are the fields of Question, which they override. A path gives
    reports by submodel, a model in memory one report.

    Raises:
        OvpassError: a subclass, for an invalid model, setting or plan, and for a device that is not available.
    """
    asked, given = with_keywords(question or Question(), keywords), plans_of(plans)
    with on_disk(source) as path, progress(quiet=quiet) as step:
        step("compiling")
        found = verify_source(path, asked, given)
    return ByModel(found) if isinstance(source, (str, Path)) else found[""]
