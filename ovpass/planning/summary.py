"""A plan in sentences and in a short table, for terminals and notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ovpass.planning.defaults import cache_of, threshold_of
from ovpass.planning.plan import QUANTIZE, Decision, Plan
from ovpass.sites import kind_order
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import OFF, format_group_size

Alike = tuple[int, str, str, int | str | None, str]


def alike(decisions: Iterable[Decision]) -> list[Alike]:
    """How many sites of a kind fare alike: the number, kind, action, group size and reason, in the order of kinds."""
    found = Counter((d.kind, d.action, format_group_size(d.group_size), d.reason) for d in decisions)
    return [(count, *key) for key, count in sorted(found.items(), key=lambda item: kind_order(item[0][0]))]


def verdict_of(plan: Plan) -> str:
    """How many sites are quantized, and with which group size."""
    counts = plan.counts()
    replaced = f"{counted(counts['replace'], 'site')} replaced by a kernel, " if "replace" in counts else ""
    return (
        f"{replaced}{counted(counts['quantize'], 'site')} quantized, {counts['exempt']} exempt, "
        f"{counts['skip']} skipped; {_group_sizes(plan)}."
    )


def conditions_of(plan: Plan) -> Iterator[str]:
    """When the target quantizes, and what the model has to be run with."""
    if plan.counts()[QUANTIZE]:
        above = threshold_of(plan.settings)
        tokens = f"above {counted(above, 'token')}" if above else "for any number of tokens"
        yield f"{plan.settings.target} quantizes {tokens}, and a KV cache has {cache_of(plan.settings)}."
    yield from needs(plan.run_environment, plan.run_properties)


def needs(environment: Mapping[str, str], properties: Mapping[str, str]) -> Iterator[str]:
    """What the model has to be run with."""
    for name, value in environment.items():
        yield f"Run with the environment variable {name}={value}."
    for name, value in properties.items():
        yield f"Compile with the property {name}={value}."


def _group_sizes(plan: Plan) -> str:
    """What the plugin is asked for, and what sites get of it."""
    asked = format_group_size(plan.model_group_size)
    effective = Counter(format_group_size(decision.group_size) for decision in plan.chosen(QUANTIZE))
    if plan.model_group_size == OFF or effective.keys() <= {asked}:
        return f"the model's own group size: {asked}"
    found = ", ".join(f"{size} at {counted(count, 'site')}" for size, count in effective.most_common())
    return f"group size {asked} requested, effective {found}"
