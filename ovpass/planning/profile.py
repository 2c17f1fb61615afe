"""Plan the exact emulation of a device.

The device's native plan decides which sites are quantized and in which groups. The other sites stay exact. With dynamic
shapes, activations up to the device's token threshold are not quantized. Static shapes ignore the threshold, and so do
weights in floating point (measured).
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
    always = {site.name for site in sites if site.activation_static or target.activation_type(site) != "i8"}

    def decide(decision: Decision) -> Decision:
        if decision.action != QUANTIZE:
            return replace(decision, method=None)
        own = 0 if decision.name in always else threshold
        return replace(decision, method=None, threshold=own, axis=-1, symmetric=settings.symmetric)

    return Plan(
        settings=Settings(lowering="emulate", target=target.name, symmetric=settings.symmetric, threshold=threshold),
        decisions=tuple(decide(decision) for decision in plan.decisions),
        model_group_size=0,
        run_properties={"INFERENCE_PRECISION_HINT": "f32"},
        notes=plan.notes,
    )
