"""The passes that carry out a plan."""

from __future__ import annotations

from ovpass.passes.base import Pass
from ovpass.passes.runtime_options import RuntimeOptions
from ovpass.passes.stamp import Stamp
from ovpass.planning.int8 import REQUANTIZE
from ovpass.planning.native import CAP
from ovpass.planning.plan import EXEMPT, QUANTIZE, Decision, Plan

# Passes that edit the graph are imported where a plan needs them: they bring OpenVINO along.


def passes_for(plan: Plan) -> list[Pass]:
    """The passes that carry out `plan`, in order; those with nothing to do are left out."""
    steps = {"native": _native, "int8": _int8, "emulate": _emulate}[plan.settings.lowering](plan)
    return [*_restate(plan), *steps, RuntimeOptions(plan.model_group_size, plan.settings.runtime_options), Stamp(plan)]


def _restate(plan: Plan) -> list[Pass]:
    restated = tuple(decision.name for decision in plan.decisions if decision.restate)
    if not restated:
        return []
    from ovpass.passes.canonicalize import Restate  # noqa: PLC0415

    return [Restate(restated)]


def _native(plan: Plan) -> list[Pass]:
    exempt = {d.name: d.method for d in plan.chosen(EXEMPT) if d.method}
    capped = {d.name: d.group_size or 0 for d in plan.chosen(QUANTIZE) if d.method == CAP}
    if not exempt and not capped:
        return []
    from ovpass.passes.cap import CapGroups  # noqa: PLC0415
    from ovpass.passes.exempt import Exempt  # noqa: PLC0415

    return [*([Exempt(exempt)] if exempt else []), *([CapGroups(capped)] if capped else [])]


def _int8(plan: Plan) -> list[Pass]:
    from ovpass.passes.int8 import Int8  # noqa: PLC0415
    from ovpass.passes.requantize import Requantize  # noqa: PLC0415

    quantized = plan.chosen(QUANTIZE)
    requantized = tuple(d.name for d in quantized if d.method == REQUANTIZE)
    int8 = Int8(tuple(d.name for d in quantized), for_cpu=plan.settings.target == "cpu")
    return [*([Requantize(requantized)] if requantized else []), int8]


def _emulate(plan: Plan) -> list[Pass]:
    from ovpass.passes.emulate import ActivationQuantizer, Emulate  # noqa: PLC0415

    def quantizer(decision: Decision) -> ActivationQuantizer:
        return ActivationQuantizer(
            group_size=decision.group_size or 0,
            threshold=decision.threshold or 0,
            axis=-1 if decision.axis is None else decision.axis,
            symmetric=decision.symmetric is not False,
            half=plan.settings.target != "cpu",
        )

    return [Emulate({d.name: quantizer(d) for d in plan.chosen(QUANTIZE)})]
