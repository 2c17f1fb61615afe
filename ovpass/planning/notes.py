"""Notes of a native plan."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.planning.plan import QUANTIZE, SKIP, Decision
from ovpass.sites import CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.targets import GPU_XMX, Target
from ovpass.targets.fitting import fitting_group_sizes
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size


def plan_notes(
    sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target, largest: int | None
) -> tuple[str, ...]:
    """What the decisions alone do not say; `largest` is the group size above which the IR switches the model off."""
    return (*_of_static_shapes(sites, target), *_of_nothing(sites, decisions, target, largest or PER_TOKEN))


def _of_static_shapes(sites: Sequence[CompressedMatMul], target: Target) -> list[str]:
    static = sum(site.activation_static for site in sites)
    if target is not GPU_XMX or not static:
        return []
    have = counted(static, "site has static shapes", "sites have static shapes")
    return [f"{have}: the plugin quantizes {'it' if static == 1 else 'them'} for any number of tokens"]


def _of_nothing(
    sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target, largest: int
) -> list[str]:
    """A plan that does nothing costs nothing, and could be taken for a good one."""
    skipped = [decision for decision in decisions if decision.action == SKIP]
    if not skipped or any(decision.action == QUANTIZE for decision in decisions):
        return []
    left = {decision.name for decision in skipped}
    fitting = fitting_group_sizes(target, [site for site in sites if site.name in left])
    sizes = [str(format_group_size(size)) for size in fitting if size <= largest]
    if sizes:
        return [f"no site is quantized; group sizes that fit: {', '.join(sizes)}"]
    return [f"no site is quantized: {skipped[0].reason}"]
