"""Build the passes of a plan."""

from __future__ import annotations

from ovpass.lowerings.base import get_lowering
from ovpass.passes.base import Pass
from ovpass.passes.runtime_options import RuntimeOptions
from ovpass.passes.stamp import Stamp
from ovpass.planning.plan import Plan


def passes_for(plan: Plan) -> list[Pass]:
    """The passes that carry out `plan`, in order; those with nothing to do are left out."""
    steps = get_lowering(plan.settings.lowering).passes(plan)
    return [
        *_canonicalize(plan),
        *steps,
        RuntimeOptions(plan.model_group_size, plan.settings.runtime_options),
        Stamp(plan),
    ]


def _canonicalize(plan: Plan) -> list[Pass]:
    canonical = tuple(decision.name for decision in plan.decisions if decision.restate)
    if not canonical:
        return []
    from ovpass.passes.canonicalize import Canonicalize  # noqa: PLC0415

    return [Canonicalize(canonical)]
