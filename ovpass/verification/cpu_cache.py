"""Whether a model that is compiled for the CPU keeps keys and values as its plan says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ovpass.planning.cache_options import asked_cache
from ovpass.planning.plan import Plan
from ovpass.targets import CPU
from ovpass.verification.report import CacheCheck

if TYPE_CHECKING:
    import openvino as ov


def cache_on_cpu(model: ov.Model, plan: Plan, properties: Mapping[str, str]) -> CacheCheck | None:
    """What the compiled model reports of the plan's options; None for a model or plan without a KV cache."""
    known = {name for name, obedience in CPU.options.items() if obedience.reported}
    planned = {name: value for name, value in asked_cache(plan.settings).items() if name in known}
    if not planned or not model.get_sinks():
        return None
    import openvino as ov  # noqa: PLC0415

    compiled = ov.Core().compile_model(model, CPU.device, dict(properties))
    return CacheCheck(planned, {name: _text(compiled.get_property(name)) for name in planned})


def _text(value: object) -> str:
    return value.to_string() if hasattr(value, "to_string") else str(value)
