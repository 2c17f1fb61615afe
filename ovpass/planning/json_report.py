"""Plans and explanations as plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ovpass.planning.defaults import cache_of, threshold_of
from ovpass.planning.explain import Explanation
from ovpass.planning.plan import Plan, decision_to_dict, total_counts
from ovpass.settings.settings import settings_to_dict
from ovpass.targets.group_sizes import format_group_size
from ovpass.targets.runtime_options import show_value


def plans_to_dict(plans: Mapping[str, Plan]) -> dict[str, Any]:
    """The plans of one source: the decisions of all its models in one list."""
    settings = next(iter(plans.values())).settings
    environment: dict[str, str] = {}
    properties: dict[str, str] = {}
    for plan in plans.values():
        environment.update(plan.run_environment)
        properties.update(plan.run_properties)
    return {
        "settings": settings_to_dict(settings),
        "decisions": [
            {**({"submodel": key} if key else {}), **decision_to_dict(decision)}
            for key, plan in plans.items()
            for decision in plan.decisions
        ],
        "counts": total_counts(plans.values()),
        "threshold": threshold_of(settings),
        "kv_cache": cache_of(settings),
        "run_environment": environment,
        "run_properties": properties,
        "notes": [note for plan in plans.values() for note in plan.notes],
    }


def explanation_to_dict(key: str, item: Explanation) -> dict[str, Any]:
    """One device's answer on the model `key` of a source; "" for the only one."""
    return {
        **({"submodel": key} if key else {}),
        "target": item.target,
        "requested": format_group_size(item.group_size),
        "source": item.source,
        "steps": list(item.steps),
        "threshold": item.threshold,
        "kv_cache": item.cache,
        "options": [
            {"name": o.name, "value": show_value(o.value), "source": o.source, "steps": list(o.steps)}
            for o in item.options
        ],
        "quantized": item.quantized,
        "outcomes": [
            {"sites": o.count, "group_size": format_group_size(o.group_size), "reason": o.reason} for o in item.outcomes
        ],
    }
