"""Plans as programs have them: one, some by submodel, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from ovpass.planning.plan import Plan, load_plans

Plans: TypeAlias = Plan | Mapping[str, Plan] | Path | str


def plans_of(given: Plans | None) -> Mapping[str, Plan] | None:
    """Plans by submodel, "" for a single model; None where there are none.

    Raises:
        PlanError: for a file that is no plan.
    """
    if isinstance(given, (str, Path)):
        return load_plans(given)
    return {"": given} if isinstance(given, Plan) else given
