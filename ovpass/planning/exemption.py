"""How a site is kept out of the plugin's own quantization: the least invasive way that site and target allow."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.errors import SettingsError
from ovpass.planning.resolve import Wanted
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target

RANK_4, PRECISE, F16_ZERO_POINT, F16_WEIGHTS = "rank-4", "precise", "f16-zero-point", "f16-weights"

# Layers whose f32 output would turn the whole residual stream to f32 (measured: +60 Reorders on a 30-block model).
_FEEDS_RESIDUAL = ("attn.out", "mlp.down", "other")
_ZERO_POINT_TYPES = ("i4", "u4", "i8", "u8")


def exemption_method(item: Wanted, group: Sequence[Wanted], target: Target, asked: str) -> str:
    """The method for one exempt site; `group` are all sites that read its activation.

    Raises:
        SettingsError: where the method asked for does not work for this site and target, saying why.
    """
    obstacles = {method: _obstacle(method, item.site, group, target) for method in target.exemptions}
    if asked == "auto":
        return next(method for method in _preference(item.site, target) if obstacles[method] is None)
    if asked not in obstacles:
        raise SettingsError(
            f"exempt_with {asked!r} has no effect on target {target.name}; use {', '.join(target.exemptions)} or auto"
        )
    if obstacles[asked] is not None:
        raise SettingsError(f"{item.site.name}: exempt_with {asked!r} does not work: {obstacles[asked]}")
    return asked


def _preference(site: CompressedMatMul, target: Target) -> Sequence[str]:
    if PRECISE in target.exemptions and site.kind in _FEEDS_RESIDUAL:
        return [*(method for method in target.exemptions if method != PRECISE), PRECISE]
    return target.exemptions


def _obstacle(
    method: str, site: CompressedMatMul, group: Sequence[Wanted], target: Target
) -> str | None:
    """Why `method` would not keep `site` out, or None where it would."""
    if method == RANK_4:
        return _rank_4_obstacle(site)
    if method == F16_ZERO_POINT:
        return _zero_point_obstacle(site, group, target)
    return None


def _rank_4_obstacle(site: CompressedMatMul) -> str | None:
    if site.activation_static:
        return "the activation's shape is static, so the plugin folds the detour away"
    if site.activation_rank not in (2, 3):
        return f"the activation's rank is {site.activation_rank or 'dynamic'}, not 2 or 3"
    return None


def _zero_point_obstacle(
    site: CompressedMatMul, group: Sequence[Wanted], target: Target
) -> str | None:
    if site.weight_type not in _ZERO_POINT_TYPES or site.codebook:
        return f"{site.weight_type} weights have no unsigned form with a zero point"
    if site.symmetric and site.weight_type.startswith("u"):
        return f"a zero point of 0 on {site.weight_type} weights is folded away"
    fused = len(group) > 2 and target.name != "cpu"
    if fused and not all(item.exempt for item in group):
        return f"{len(group)} sites share its activation and the plugin fuses them; exempt all of them"
    return None
