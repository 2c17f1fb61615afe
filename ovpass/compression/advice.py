"""What each target does with the compressed weights, and which activation group sizes fit them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ovpass.compression.recipe import Recipe
from ovpass.conversion.linear_layers import LinearLayer
from ovpass.sites import CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.targets import CPU, TARGETS, Target
from ovpass.targets.fitting import fitting_group_sizes

WEIGHT_GROUPS = (128, 64, 32)
INTEGERS = ("int4_sym", "int4_asym", "int8_sym", "int8_asym")


@dataclass(frozen=True)
class TargetAdvice:
    """One target's answer: how many of `sites` it quantizes activations for under its default group size.

    `groups` are those of `fitting_group_sizes`; `reasons` counts why the others are left alone.
    """

    target: str
    sites: int
    quantized: int
    group_size: int
    groups: tuple[int, ...]
    reasons: Mapping[str, int]


def ask_targets(sites: Sequence[CompressedMatMul]) -> tuple[TargetAdvice, ...]:
    """Every target on the sites of a compressed model; cpu is asked as with f32 compute."""
    return tuple(_ask(target, sites) for target in TARGETS.values())


def _ask(target: Target, sites: Sequence[CompressedMatMul]) -> TargetAdvice:
    verdicts = [target.verdict(site, target.default_group_size) for site in sites]
    return TargetAdvice(
        target=target.name,
        sites=len(sites),
        quantized=sum(verdict.eligible for verdict in verdicts),
        group_size=target.default_group_size,
        groups=fitting_group_sizes(target, sites),
        reasons=Counter(verdict.reason for verdict in verdicts if not verdict.eligible),
    )


def fitting_group(ks: Iterable[int]) -> int | None:
    """The largest usual group size that divides every K, and so suits weights and activations alike."""
    lengths = set(ks)
    return next((group for group in WEIGHT_GROUPS if all(k % group == 0 for k in lengths)), None)


def notes_on(recipe: Recipe, sites: Sequence[CompressedMatMul]) -> list[str]:
    """What to do differently for activations to be quantized, or in larger groups."""
    notes = []
    if refused := ", ".join(_never_quantized(sites)):
        notes.append(
            f"no target quantizes activations for {refused} weights: plugins decompress them to floating point; "
            f"{', '.join(INTEGERS)} weights work"
        )
    group, fitting = recipe.weight_group, fitting_group(site.k for site in sites)
    if recipe.mode not in INTEGERS or group is None:
        return notes
    if fitting is not None and group % CPU.default_group_size:
        notes.append(
            f"activation groups on cpu, {CPU.default_group_size} by default, must divide the weights' group size "
            f"{group}; group-size {fitting} divides every K and allows more of them"
        )
    if recipe.mode == "int4_asym":
        notes.append(
            f"zero points cap activation groups on gpu-xmx at {group}, except per-token; int4_sym has no zero points"
        )
    return notes


def _never_quantized(sites: Sequence[CompressedMatMul]) -> list[str]:
    """Weight types for none of whose sites any target quantizes by default."""
    kinds: dict[str, bool] = {}
    for site in sites:
        ever = any(target.verdict(site, target.default_group_size).eligible for target in TARGETS.values())
        kinds[site.stored_as] = kinds.get(site.stored_as, False) or ever
    return [kind for kind, ever in kinds.items() if not ever]


def explain_group(recipe: Recipe, layers: Sequence[LinearLayer]) -> str:
    """Which layers a group size does not fit, and every way out."""
    group = recipe.weight_group or 0
    ragged = [layer for layer in layers if layer.k % group]
    first = f", such as {ragged[0].name}" if ragged else ""
    lengths = ", ".join(
        f"K={k} ({counted(count, 'layer')})" for k, count in Counter(layer.k for layer in ragged).items()
    )
    if recipe.format.fixed_group:
        return (
            f"mode {recipe.mode} always has groups of {group}, which do not divide {lengths or 'every K'}{first}; "
            "use group-size-fallback ignore (such layers stay as they are) or another mode"
        )
    fitting = fitting_group(layer.k for layer in layers)
    take = f"use group-size {fitting}, which divides all" if fitting else "use group-size per-channel"
    return (
        f"group-size {group} does not divide {lengths or 'every K'}{first}; {take}, or group-size-fallback "
        "adjust (such layers get their own group size) or ignore (such layers stay as they are)"
    )
