"""Notes of a native plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ovpass.planning.crashes import crashing_sites, describe_crashes
from ovpass.planning.plan import QUANTIZE, SKIP, Decision
from ovpass.sites import CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.targets import Target
from ovpass.targets.fitting import GROUPS, fitting_group_sizes
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size


def plan_notes(
    sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target, largest: int | None
) -> tuple[str, ...]:
    """What the decisions alone do not say; `largest` is the group size above which the IR switches the model off."""
    crashing = crashing_sites(sites, decisions, target)
    crashes = [describe_crashes(crashing)] if crashing else []
    return (
        *crashes,
        *_of_slow_kernels(sites, decisions, target),
        *_of_static_shapes(sites, target),
        *_of_skipped(sites, decisions, target, largest or PER_TOKEN),
    )


def _of_slow_kernels(sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target) -> list[str]:
    """Quantized sites that run on a reference kernel, for each reason."""
    groups = {decision.name: decision.group_size or 0 for decision in decisions if decision.action == QUANTIZE}
    reasons = Counter(target.slow_kernel(site, groups[site.name]) for site in sites if site.name in groups)
    return [
        f"{counted(number, 'site is', 'sites are')} slow on a simulated {target.name} device: {reason}"
        for reason, number in reasons.items()
        if reason is not None
    ]


def _of_static_shapes(sites: Sequence[CompressedMatMul], target: Target) -> list[str]:
    static = sum(site.activation_static for site in sites)
    if not target.static_ignores_threshold or not static:
        return []
    have = counted(static, "site has static shapes", "sites have static shapes")
    return [f"{have}: the plugin quantizes {'it' if static == 1 else 'them'} for any number of tokens"]


def _of_skipped(
    sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target, largest: int
) -> list[str]:
    """Sites that another group size would quantize; a plan that does nothing could be taken for a good one."""
    skipped = {decision.name: decision for decision in decisions if decision.action == SKIP}
    quantized = {decision.name for decision in decisions if decision.action == QUANTIZE}
    left = [site for site in sites if site.name in skipped]
    if not left:
        return []
    if not quantized:
        sizes = _words(size for size in fitting_group_sizes(target, left) if size <= largest)
        if sizes:
            return [f"no site is quantized; group sizes that fit: {sizes}"]
        return [f"no site is quantized: {skipped[left[0].name].reason}"]
    planned = [site for site in sites if site.name in skipped or site.name in quantized]
    counts = {size: sum(target.verdict(site, size).eligible for site in planned) for size in GROUPS if size <= largest}
    most = max(counts.values(), default=0)
    if most <= len(quantized):
        return []
    sizes = _words(size for size, count in counts.items() if count == most)
    reason, alike = Counter(decision.reason for decision in skipped.values()).most_common(1)[0]
    return [
        f"{counted(len(left), 'site is', 'sites are')} not quantized, {alike} because {reason}; "
        f"group sizes that quantize {most} of {len(planned)}: {sizes}"
    ]


def _words(sizes: Iterable[int]) -> str:
    return ", ".join(str(format_group_size(size)) for size in sizes)
