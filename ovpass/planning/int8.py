"""Plan the int8 lowering."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ovpass.errors import SettingsError
from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP, Plan, decide
from ovpass.planning.resolve import resolve
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target
from ovpass.targets.group_sizes import OFF, PER_TOKEN
from ovpass.targets.names import get_target

REQUANTIZE = "requantize"
_LOWERS = re.compile(r"(Transpose>)?Convert>Multiply(>Convert)?(>Transpose)?")


def plan_int8(sites: Sequence[CompressedMatMul], settings: Settings) -> Plan:
    """A Plan for int8 products of activations (quantized per token) and 8-bit per-channel weights.

    Raises:
        SettingsError: for settings that the subgraph cannot carry, and for weights that would not lower to int8
            unless re-quantizing them is allowed.
    """
    _check(settings)
    target = get_target(settings.target)
    decisions = []
    refused: list[tuple[str, str]] = []
    for item in resolve(sites, settings):
        site = item.site
        if item.exempt:
            decisions.append(decide(site, EXEMPT, f"exempt by {item.because}"))
            continue
        if obstacle := structural_obstacle(site):
            decisions.append(decide(site, SKIP, obstacle))
        elif (obstacle := weights_obstacle(site, target)) and not settings.requantize:
            refused.append((site.name, obstacle))
        else:
            reason = f"{obstacle}: re-quantized to i8 per channel" if obstacle else "8-bit per-channel weights"
            method = REQUANTIZE if obstacle else None
            decisions.append(decide(site, QUANTIZE, reason, group_size=PER_TOKEN, method=method))
    if refused:
        name, obstacle = refused[0]
        raise SettingsError(
            f"{len(refused)} of {len(sites)} sites do not lower to int8, such as {name}: {obstacle}; "
            "re-quantize them with --requantize (requantize: true), exempt them, or use lowering native or emulate"
        )
    stuck = [site.name for site in sites if get_target(settings.target).compiles_only_quantized(site)]
    if stuck:
        raise SettingsError(
            f"{stuck[0]} has static shapes and rank-3 weights, and compiles only if the plugin quantizes it, "
            "which lowering int8 turns off; use lowering native"
        )
    # The plugin must not quantize on its own what this plan leaves alone.
    return Plan(settings=settings, decisions=tuple(decisions), model_group_size=0)


def structural_obstacle(site: CompressedMatMul) -> str | None:
    """Why no rewriting of the weights would make the MatMul an int8 one, or None."""
    if site.static_path:
        return "the model already quantizes the activation, with static ranges"
    if site.weights_input != 1 or site.weight_rank != 2:
        return "its weights are not a matrix on the second input"
    if site.transposed_activation:
        return "the activation is transposed"
    if site.precise:
        return "it is marked precise"
    return None


def weights_obstacle(site: CompressedMatMul, target: Target) -> str | None:
    """Why these weights do not lower to int8 as they are, or None (both plugins, measured)."""
    if not site.affine or site.weight_type not in ("i8", "u8"):
        return f"its weights are {site.stored_as}"
    if site.weight_type == "u8" and not target.unsigned_int8:
        return "its weights are u8, for which the CPU plugin falls back to an f32 reference kernel"
    if not site.symmetric:
        return "its weights are asymmetric"
    if site.weight_group_size is not None:
        return f"its weights have scales per group of {site.weight_group_size}"
    if not _LOWERS.fullmatch(site.chain):
        return f"its decompression is {site.chain}, with more than a Multiply before the MatMul"
    return None


def _check(settings: Settings) -> None:
    int8_takes = "lowering int8 supports only per-token, symmetric, the last axis and no threshold"
    for where, group, threshold, axis, symmetric in (
        ("settings", settings.group_size, settings.threshold, settings.axis, settings.symmetric),
        *((f"rule {r.match!r}", r.group_size, r.threshold, r.axis, r.symmetric) for r in settings.rules),
    ):
        if group not in (None, PER_TOKEN, OFF):
            raise SettingsError(f"{where}: group_size {group}: {int8_takes}; lowering emulate supports groups")
        if threshold not in (None, 0):
            raise SettingsError(f"{where}: threshold {threshold}: {int8_takes}; lowering emulate supports thresholds")
        if axis not in (None, -1) or symmetric is False:
            raise SettingsError(f"{where}: {int8_takes}; lowering emulate supports other axes and zero points")
