"""What a model should show on a device: its plan, and how a compiled model shows what was planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ovpass.errors import PlanError, SettingsError
from ovpass.ir.runtime_options import GROUP_SIZE, as_group_size
from ovpass.lowerings import Evidence, evidence_of
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import QUANTIZE, SKIP, Plan
from ovpass.settings.settings import Settings
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.names import get_target
from ovpass.transformation.loading import Loaded
from ovpass.verification.observation import Observation
from ovpass.verification.question import Question
from ovpass.verification.report import OTHERWISE

_SHOWN = 5


def given_plan(loaded: Loaded, plans: Mapping[str, Plan] | None) -> Plan | None:
    """The plan of `--plan` for a model, checked against its names; None if there is no such plan.

    Raises:
        OvpassError: if the plan is for other models.
    """
    if plans is None:
        return None
    if loaded.key not in plans:
        raise SettingsError(f"the plan has no model {loaded.key}; it has {sorted(plans)}")
    _check_names(loaded, plans[loaded.key])
    return plans[loaded.key]


def _check_names(loaded: Loaded, plan: Plan) -> None:
    """Weights can differ after apply, and a site left in f16 is none any more; the names stay."""
    present = {site.name for site in loaded.sites}
    missing = [d.name for d in plan.decisions if d.name not in present and d.method != "f16-weights"]
    if missing:
        raise PlanError(
            f"the plan is for another model: {loaded.ir.xml} has no {', '.join(missing[:_SHOWN])}"
            + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        )


def plan_as_is(loaded: Loaded, question: Question, target: str) -> Plan:
    """What the rules of a target make of the model as it is, with the properties asked for."""
    size = asked_group_size(question)
    # A plan that is off refuses sites that do not compile then; here it is for the plugin to say so.
    sites = [] if size == 0 else loaded.sites
    settings = Settings(target=target, group_size=size or None)
    return plan_sites(sites, settings, loaded.document.metadata, as_is=True)


def asked_group_size(question: Question) -> int | None:
    """The group size among the properties asked for, None if it is not there.

    Raises:
        SettingsError: if it is no number.
    """
    requested = (question.properties or {}).get(GROUP_SIZE)
    size = None if requested is None else as_group_size(requested)
    if requested is not None and size is None:
        raise SettingsError(f"property {GROUP_SIZE}={requested}: is not a number")
    return size


def properties_of(plan: Plan, question: Question) -> dict[str, str]:
    """What a plan has to be run with; that of a plan for the CPU, f32 above all, is nothing for a GPU."""
    same = get_target(plan.settings.target).device == question.device.partition(".")[0]
    return {**(plan.run_properties if same else {}), **(question.properties or {})}


def as_seen(plan: Plan) -> Plan:
    """What the plugin should show: no quantizer of its own where the graph quantizes already."""
    if evidence_of(plan) is not Evidence.NOTHING:
        return plan
    skipped = (replace(decision, action=SKIP, group_size=None) for decision in plan.decisions)
    return replace(plan, decisions=tuple(skipped))


def groups_found(seen: Observation, plan: Plan) -> dict[str, int | None]:
    """The group sizes by MatMul; an i8 activation without a quantizer is the int8 lowering's own, per token."""
    groups = dict(seen.groups)
    if not seen.xmx:
        planned = {decision.name: decision.group_size for decision in plan.chosen(QUANTIZE)}
        groups.update({name: planned.get(name, OTHERWISE) if yes else None for name, yes in seen.in_kernel.items()})
    if evidence_of(plan) is Evidence.INT8_PRODUCT:
        for matmul in seen.matmuls:
            if matmul.quantizer is None and matmul.activation_type == "i8":
                groups.update(dict.fromkeys(matmul.names, PER_TOKEN))
    return groups
