"""Plan the emulate lowering."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.errors import SettingsError
from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP, Decision, Plan, decide
from ovpass.planning.resolve import Wanted, resolve
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target
from ovpass.targets.group_sizes import group_fits
from ovpass.targets.names import get_target


def plan_emulate(sites: Sequence[CompressedMatMul], settings: Settings) -> Plan:
    """A Plan that carries any group size, threshold, axis and symmetry, for each site its own.

    Raises:
        SettingsError: if a group size does not divide the axis, naming the site.
    """
    target = get_target(settings.target)
    decisions = [_decide(item, settings, target) for item in resolve(sites, settings)]
    # The plugin must not quantize again what the graph has already quantized.
    return Plan(
        settings=settings,
        decisions=tuple(decisions),
        model_group_size=0,
        run_properties={"INFERENCE_PRECISION_HINT": "f32"},
    )


def _decide(item: Wanted, settings: Settings, target: Target) -> Decision:
    site, rule = item.site, item.rule
    if item.exempt:
        return decide(site, EXEMPT, f"exempt by {item.because}")
    if site.activation_rank is None:
        return decide(site, SKIP, "the activation has a dynamic rank")
    if site.static_path:
        return decide(site, SKIP, "the model already quantizes the activation, with static ranges")
    axis = settings.axis if rule is None or rule.axis is None else rule.axis
    group = target.default_group_size if settings.group_size is None else settings.group_size
    threshold = _default_threshold(site, target) if settings.threshold is None else settings.threshold
    if rule is not None:
        group = group if rule.group_size is None else rule.group_size
        threshold = threshold if rule.threshold is None else rule.threshold
    _check_axis(item, axis)
    if not group_fits(group, site.axis_length(axis), short_last_group=target.short_last_group):
        raise SettingsError(f"{item.because}: {_misfit(site, group, axis)}")
    return decide(
        site,
        QUANTIZE,
        f"{item.because}: {target.name} arithmetic",
        group_size=group,
        threshold=threshold,
        axis=axis,
        symmetric=settings.symmetric if rule is None or rule.symmetric is None else rule.symmetric,
    )


def _default_threshold(site: CompressedMatMul, target: Target) -> int:
    """Activations in floating point are quantized for any number of tokens (measured)."""
    return 0 if target.activation_type(site) in target.float_activations else target.default_threshold


def _check_axis(item: Wanted, axis: int) -> None:
    rank = item.site.activation_rank or 0
    if not -rank <= axis < rank:
        raise SettingsError(
            f"{item.because}: axis {axis} does not exist; the activation of {item.site.name} has rank {rank}"
        )


def _misfit(site: CompressedMatMul, group: int, axis: int) -> str:
    length = site.axis_length(axis)
    if length is None:
        return f"{site.name}: axis {axis} has a dynamic length; use per-token"
    divisors = [d for d in (32, 48, 64, 96, 128, 192, 256) if length % d == 0]
    return (
        f"group size {group} does not divide {length}, the length of axis {axis} of {site.name}; "
        f"use {', '.join(map(str, divisors)) or 'per-token'}"
    )
