"""The KV cache that a candidate's plan, or its IR, asks for, as it is evaluated: the plugin's own, or emulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.kv_cache import cache_settings, cache_settings_of
from ovpass.ir.files import IrFile
from ovpass.planning.cache_options import asked_cache, emulated_cache
from ovpass.planning.plan import Plan, load_plans
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.settings.kv_cache import CacheFormat
from ovpass.settings.settings import Settings
from ovpass.targets.names import get_target


def cache_in_force(
    candidate: Candidate, ir: IrFile, device: str
) -> tuple[Mapping[str, str], Mapping[str, CacheFormat]]:
    """Compile properties, and formats to emulate on `device`, which is not that of the plan.

    What the candidate itself asks for counts; then its plan; then the IR.

    Raises:
        OvpassError: for a plan that cannot be read.
    """
    if candidate.cache or cache_settings(candidate.properties):
        return {}, candidate.cache
    document = ir.document()
    settings = _plan_settings(candidate, ir)
    asked = {} if settings is None else asked_cache(settings)
    if settings is None or not asked:
        return cache_settings_of(document.metadata), {}
    if "ReadValue" not in document.graph.types:
        return {}, {}
    target = get_target(settings.target)
    if target.device == device.partition(".")[0]:
        return asked, {}
    return {}, emulated_cache(target, asked)


def _plan_settings(candidate: Candidate, ir: IrFile) -> Settings | None:
    """The settings of the plan that the model carries or is changed by; None without a plan."""
    recorded = recorded_plan(ir.document().metadata)
    if recorded is not None:
        target = None if candidate.settings is None else candidate.settings.target
        return replace(recorded.settings, target=target or recorded.settings.target)
    if candidate.plan is not None:
        plans = load_plans(candidate.plan)
        return (plans.get("") or plans.get(ir.key) or Plan.load(candidate.plan)).settings
    return candidate.settings
