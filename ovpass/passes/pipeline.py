"""The passes that carry out a plan."""

from __future__ import annotations

from ovpass.passes.base import Pass
from ovpass.passes.cap import CapGroups
from ovpass.passes.emulate import ActivationQuantizer, Emulate
from ovpass.passes.exempt import Exempt
from ovpass.passes.int8 import Int8
from ovpass.passes.requantize import Requantize
from ovpass.passes.runtime_options import RuntimeOptions
from ovpass.passes.stamp import Stamp
from ovpass.plan import EXEMPT, QUANTIZE, Decision, Plan
from ovpass.planning.int8 import REQUANTIZE
from ovpass.planning.native import CAP


def passes_for(plan: Plan) -> list[Pass]:
    """The passes that carry out `plan`, in order; those with nothing to do are left out."""
    quantized = plan.chosen(QUANTIZE)
    steps: list[Pass] = []
    if plan.settings.lowering == "native":
        exempt = {d.name: d.method for d in plan.chosen(EXEMPT) if d.method}
        capped = {d.name: d.group_size or 0 for d in quantized if d.method == CAP}
        steps += [Exempt(exempt)] if exempt else []
        steps += [CapGroups(capped)] if capped else []
    elif plan.settings.lowering == "int8":
        requantized = tuple(d.name for d in quantized if d.method == REQUANTIZE)
        steps += [Requantize(requantized)] if requantized else []
        steps += [Int8(tuple(d.name for d in quantized))] if quantized else []
    elif quantized:
        half = plan.settings.target != "cpu"
        steps.append(Emulate({d.name: _quantizer(d, half) for d in quantized}))
    return [*steps, RuntimeOptions(plan.model_group_size), Stamp(plan)]


def _quantizer(decision: Decision, half: bool) -> ActivationQuantizer:
    return ActivationQuantizer(
        group_size=decision.group_size or 0,
        threshold=decision.threshold or 0,
        axis=-1 if decision.axis is None else decision.axis,
        symmetric=decision.symmetric is not False,
        half=half,
    )
