"""Choose how to exempt a site: the least invasive method that site and target allow."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.errors import SettingsError
from ovpass.planning.resolve import Wanted
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target
from ovpass.targets.base import NOT_COMPILED
from ovpass.targets.gpu_xmx import has_static_batches

RANK_4, PRECISE, F16_ZERO_POINT, F16_WEIGHTS = "rank-4", "precise", "f16-zero-point", "f16-weights"

# Types that have an unsigned form, or are unsigned already.
_ZERO_POINT_TYPES = ("i4", "u4", "i8", "u8")
# The GPU plugin fuses MatMuls of one activation when there are just this many, as Q, K and V.
FUSED = 3


def exemption_method(item: Wanted, group: Sequence[Wanted], target: Target, requested: str) -> str:
    """The method for one exempt site; `group` are all sites that read its activation.

    Raises:
        SettingsError: if the method asked for does not work for this site and target, saying why.
    """
    obstacles = {method: _obstacle(method, item.site, group, target) for method in target.exemptions}
    if requested == "auto":
        return next(method for method, obstacle in obstacles.items() if obstacle is None)
    if requested not in obstacles:
        raise SettingsError(
            f"exempt_with {requested!r} has no effect on target {target.name}; use {', '.join(obstacles)} or auto"
        )
    if obstacles[requested] is not None:
        raise SettingsError(f"{item.site.name}: exempt_with {requested!r} does not work: {obstacles[requested]}")
    return requested


def _obstacle(method: str, site: CompressedMatMul, group: Sequence[Wanted], target: Target) -> str | None:
    """Why `method` would not keep `site` out, or None where it would."""
    if target.has_rule(NOT_COMPILED) and has_static_batches(site) and not _compiles_in_static_batches(method, site):
        return "an unquantized MatMul with static shapes and rank-3 weights does not compile"
    if target.activation_type(site) in target.float_activations and method != F16_WEIGHTS:
        return f"{site.weight_type} weights have no kernel without quantization"
    if method == RANK_4 and site.activation_rank not in (2, 3):
        return f"the activation's rank is {site.activation_rank or 'dynamic'}, not 2 or 3"
    if method == F16_ZERO_POINT:
        return zero_point_obstacle(site) or (_fusion_obstacle(site, group) if target.fuses else None)
    return None


def _compiles_in_static_batches(method: str, site: CompressedMatMul) -> bool:
    """Only what makes the plugin compute the weights when it compiles, or in f32 without a Reshape (measured)."""
    return method == F16_WEIGHTS or (method == PRECISE and "Reshape" not in site.chain)


def zero_point_obstacle(site: CompressedMatMul) -> str | None:
    """Why the weights' zero point cannot be rewritten, or None where it can."""
    if site.weight_type not in _ZERO_POINT_TYPES or not site.affine:
        return f"{site.stored_as} weights have no unsigned form with a zero point"
    if site.symmetric and site.weight_type.startswith("u"):
        return f"{site.weight_type} weights without a zero point cannot be given one"
    if site.weights_shared:
        return "another MatMul shares its weights"
    operands = (*site.weights.scales, *site.weights.zero_points)
    if not site.chain.startswith("Convert>") or not all(operand.direct for operand in operands):
        return f"ovpass cannot rewrite its decompression {site.chain}"
    return None


def _fusion_obstacle(site: CompressedMatMul, group: Sequence[Wanted]) -> str | None:
    """The plugin fails to compile a fused trio whose zero points differ in type (measured, dynamic shapes)."""
    if len(group) != FUSED or site.activation_static or site.symmetric:
        return None
    alike = all(item.site.weight_type == site.weight_type for item in group)
    if alike and not all(item.exempt for item in group):
        return "the plugin fuses it with two others; exempt all three, or use another method"
    return None
