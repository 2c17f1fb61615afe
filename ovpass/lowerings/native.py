"""The native lowering: the plugin quantizes; single sites are exempt or get a smaller group size."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.lowerings.base import Evidence, Lowering
from ovpass.passes.base import Pass
from ovpass.planning.native import CAP, ModelOptions, plan_native
from ovpass.planning.options import overlaid
from ovpass.planning.plan import EXEMPT, QUANTIZE, Plan
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul


def _plan(sites: Sequence[CompressedMatMul], settings: Settings, options: ModelOptions) -> Plan:
    return plan_native(sites, settings, overlaid(options, settings))


def _passes(plan: Plan) -> list[Pass]:
    exempt = {d.name: d.method for d in plan.chosen(EXEMPT) if d.method}
    capped = {d.name: d.group_size or 0 for d in plan.chosen(QUANTIZE) if d.method == CAP}
    if not exempt and not capped:
        return []
    from ovpass.passes.cap import CapGroups  # noqa: PLC0415 - imports OpenVINO
    from ovpass.passes.exempt import Exempt  # noqa: PLC0415

    return [*([Exempt(exempt)] if exempt else []), *([CapGroups(capped)] if capped else [])]


LOWERING = Lowering(
    plan=_plan,
    passes=_passes,
    evidence=Evidence.PLUGIN,
    not_timed="on a CPU native is for the whole model, whose precision it changes, not for single sites; "
    "use lowering int8, or compare with 'ovpass bench'",
)
