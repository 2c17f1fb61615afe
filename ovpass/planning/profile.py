"""What a device would do, as a plan that any machine can carry out exactly.

The device's own plan says which sites it quantizes for and in what groups; emulated, the others stay exact. Up to the
device's threshold of tokens nothing is quantized, where the shape is dynamic: static ones ignore it (measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovpass.planning.plan import QUANTIZE, Decision, Plan
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets.names import get_target


def emulated(plan: Plan, sites: Sequence[CompressedMatMul]) -> Plan:
    """A native plan as one of lowering emulate, in the arithmetic of its target."""
    settings = plan.settings
    target = get_target(settings.target)
    threshold = target.default_threshold if settings.threshold is None else settings.threshold
    static = {site.name for site in sites if site.activation_static}

    def decide(decision: Decision) -> Decision:
        if decision.action != QUANTIZE:
            return replace(decision, method=None)
        own = 0 if decision.name in static else threshold
        return replace(decision, method=None, threshold=own, axis=-1, symmetric=settings.symmetric)

    return Plan(
        settings=Settings(lowering="emulate", target=target.name, symmetric=settings.symmetric, threshold=threshold),
        decisions=tuple(decide(decision) for decision in plan.decisions),
        model_group_size=0,
        run_properties={"INFERENCE_PRECISION_HINT": "f32"},
        notes=plan.notes,
    )
