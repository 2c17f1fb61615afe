"""The int8 lowering: an explicit subgraph that plugins fuse into an int8 MatMul."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.lowerings.base import Evidence, Lowering
from ovpass.passes.base import Pass
from ovpass.planning.int8 import REQUANTIZE, plan_int8
from ovpass.planning.native import ModelOptions
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets.names import get_target


def _plan(sites: Sequence[CompressedMatMul], settings: Settings, _: ModelOptions) -> Plan:
    return plan_int8(sites, settings)


def _passes(plan: Plan) -> list[Pass]:
    from ovpass.passes.int8 import Int8  # noqa: PLC0415 - imports OpenVINO
    from ovpass.passes.requantize import Requantize  # noqa: PLC0415

    quantized = plan.chosen(QUANTIZE)
    requantized = tuple(d.name for d in quantized if d.method == REQUANTIZE)
    target = get_target(plan.settings.target)
    int8 = Int8(tuple(d.name for d in quantized), target.smallest_range, scales_apart=target.scales_apart)
    return [*([Requantize(requantized)] if requantized else []), int8]


LOWERING = Lowering(plan=_plan, passes=_passes, evidence=Evidence.INT8_PRODUCT)
