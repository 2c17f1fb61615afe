"""The emulate lowering: quantize and dequantize in the graph, with a device's exact arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.errors import PlanError
from ovpass.lowerings.base import Evidence, Lowering
from ovpass.passes.base import Pass
from ovpass.planning.emulate import plan_emulate
from ovpass.planning.native import ModelOptions
from ovpass.planning.plan import QUANTIZE, Decision, Plan
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target
from ovpass.targets.group_sizes import group_fits
from ovpass.targets.names import get_target


def _plan(sites: Sequence[CompressedMatMul], settings: Settings, _: ModelOptions) -> Plan:
    return plan_emulate(sites, settings)


def _passes(plan: Plan) -> list[Pass]:
    from ovpass.passes.emulate import ActivationQuantizer, Emulate  # noqa: PLC0415 - imports OpenVINO

    target = get_target(plan.settings.target)

    def quantizer(decision: Decision) -> ActivationQuantizer:
        return ActivationQuantizer(
            group_size=decision.group_size or 0,
            threshold=decision.threshold or 0,
            axis=-1 if decision.axis is None else decision.axis,
            symmetric=decision.symmetric is not False,
            half=target.half,
            floats=target.float_activations,
        )

    return [Emulate({d.name: quantizer(d) for d in plan.chosen(QUANTIZE)})]


def _check(plan: Plan, sites: Sequence[CompressedMatMul]) -> None:
    by_name = {site.name: site for site in sites}
    for decision in plan.chosen(QUANTIZE):
        _check_decision(decision, by_name[decision.name], get_target(plan.settings.target))


def _check_decision(decision: Decision, site: CompressedMatMul, target: Target) -> None:
    """An edited group or axis would otherwise show when the model runs."""
    axis, rank, group = -1 if decision.axis is None else decision.axis, site.activation_rank, decision.group_size or 0
    if rank is None or not -rank <= axis < rank:
        raise PlanError(f"{decision.name}: the activation has no axis {axis}")
    length = site.axis_length(axis)
    if not group_fits(group, length, short_last_group=target.short_last_group):
        shown = "known at run time only" if length is None else length
        raise PlanError(f"{decision.name}: group size {group} does not divide axis {axis}, whose length is {shown}")


LOWERING = Lowering(
    plan=_plan,
    passes=_passes,
    evidence=Evidence.NOTHING,
    check=_check,
    not_timed="lowering emulate is never faster; use int8",
)
