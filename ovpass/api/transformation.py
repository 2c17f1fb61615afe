"""Change models, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, overload

import openvino as ov

from ovpass.api.keywords import SettingsKeywords, settings_of
from ovpass.api.models import InMemory, Source
from ovpass.api.plans import Plans, plans_of
from ovpass.cli.output import progress as shown_progress
from ovpass.errors import SettingsError
from ovpass.lowerings.planner import make_plan
from ovpass.planning.plan import Plan
from ovpass.settings.settings import Settings
from ovpass.sites.model_holder import held_model
from ovpass.transformation import in_memory
from ovpass.transformation.in_memory import strip
from ovpass.transformation.loading import check_keys
from ovpass.transformation.result import Transformed
from ovpass.transformation.transform import strip_source, transform

if TYPE_CHECKING:
    from typing_extensions import Unpack


@overload
def apply(
    model: InMemory,
    plan: Plans | None = ...,
    settings: Settings | Path | str | None = ...,
    **keywords: Unpack[SettingsKeywords],
) -> ov.Model: ...
@overload
def apply(
    model: Source,
    plan: Plans | None = ...,
    settings: Settings | Path | str | None = ...,
    *,
    output: Path | str,
    overwrite: bool = ...,
    copy_weights: bool = ...,
    allow_crash: bool = ...,
    quiet: bool = ...,
    **keywords: Unpack[SettingsKeywords],
) -> Transformed: ...
def apply(
    model: Source,
    plan: Plans | None = None,
    settings: Settings | Path | str | None = None,
    *,
    output: Path | str | None = None,
    overwrite: bool = False,
    copy_weights: bool = False,
    allow_crash: bool = False,
    quiet: bool = False,
    **keywords: Unpack[SettingsKeywords],
) -> ov.Model | Transformed:
    """Apply a plan, or settings, to a model. The model itself never changes.

    Without `output`, a model in memory gives a new ov.Model, which shares unchanged weights with it. With `output`, an
    .xml or a folder is written as `transform` does. `plan` can be a file. The keywords are the fields of Settings,
    which they override, and `exempt`: one or more patterns.

    Raises:
        PlanError: if the plan is for another model.
        ModelError: if the model already carries a plan.
        SettingsError: for a setting that is not possible, and for a path without `output`.
        OvpassError: another subclass, if the output cannot be written. Then nothing is.
    """
    plans = plans_of(plan)
    if plans is not None and (settings is not None or keywords):
        raise SettingsError("plan: a plan has its settings in it; change those and plan again, or leave it out")
    chosen = None if plans is not None else settings_of(settings, keywords)
    if output is not None:
        with shown_progress(quiet=quiet) as step:
            return transform(
                model if isinstance(model, (str, Path)) else held_model(model),
                output,
                chosen,
                plans=plans,
                overwrite=overwrite,
                copy_weights=copy_weights,
                allow_crash=allow_crash,
                progress=step,
            )
    if isinstance(model, (str, Path)):
        raise SettingsError(f"{model}: name the output, an .xml or a folder: apply({str(model)!r}, output=...)")
    return _in_memory(held_model(model), plans, chosen)


def _in_memory(model: ov.Model, plans: Mapping[str, Plan] | None, settings: Settings | None) -> ov.Model:
    if plans is None:
        return in_memory.apply(model, make_plan(model, settings))
    check_keys(plans, [""])
    return in_memory.apply(model, plans[""])


__all__ = ["apply", "strip", "strip_source", "transform"]
