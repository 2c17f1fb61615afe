"""Plan the native lowering: one group size for the model, and methods for single sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ovpass.errors import SettingsError
from ovpass.planning.exemption import FUSED, exemption_method, zero_point_obstacle
from ovpass.planning.notes import plan_notes
from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP, Decision, Plan, decide
from ovpass.planning.resolve import Wanted, by_activation, resolve, split_note
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets import TARGETS, Target, Verdict
from ovpass.targets.base import NOT_COMPILED
from ovpass.targets.group_sizes import OFF, PER_TOKEN, format_group_size
from ovpass.targets.names import get_target
from ovpass.targets.runtime_options import ASYMMETRIC, OPTIONS, THRESHOLD

CAP = "cap"
_LIMITED = "group-size-max"


@dataclass(frozen=True)
class ModelOptions:
    """What the IR's own runtime options say; None where they say nothing."""

    group_size: int | None = None
    largest_group_size: int | None = None


def plan_native(sites: Sequence[CompressedMatMul], settings: Settings, options: ModelOptions) -> Plan:
    """A Plan for the plugin's own quantization.

    Raises:
        SettingsError: for what the plugins cannot do, naming the setting or rule and what can.
    """
    target = get_target(settings.target)
    _check_native(settings, target)
    wanted = resolve(sites, settings)
    if settings.group_size == OFF and all(item.exempt for item in wanted):
        return _switched_off(wanted, settings, target)
    base = in_force(settings, options, target)
    model_group = _model_group(wanted, base, target)
    groups = by_activation(wanted)
    splits = {activation: split_note(group) for activation, group in groups.items()}

    def decision(item: Wanted) -> Decision:
        decided = _decide(item, groups[item.site.group_id], base, model_group, settings, options)
        return replace(decided, reason=decided.reason + splits[item.site.group_id]) if item.exempt else decided

    decisions = [decision(item) for item in wanted]
    return Plan(
        settings=settings,
        decisions=tuple(decisions),
        model_group_size=model_group,
        run_environment=_environment(settings, target, base),
        run_properties={"INFERENCE_PRECISION_HINT": "f32"} if target.compute == "f32" else {},
        notes=plan_notes(sites, decisions, target, options.largest_group_size),
    )


def _switched_off(wanted: Sequence[Wanted], settings: Settings, target: Target) -> Plan:
    """Nothing is to be quantized, so the plugin's own quantization is off, and no site needs a method."""
    stuck = next((item.site.name for item in wanted if target.compiles_only_quantized(item.site)), None)
    if stuck is not None:
        raise SettingsError(
            f"{stuck} has static shapes and rank-3 weights, and compiles only if the plugin quantizes it; "
            "give it a group size by a rule"
        )
    decisions = tuple(decide(item.site, EXEMPT, f"exempt by {item.because}") for item in wanted)
    return Plan(settings=settings, decisions=decisions, model_group_size=OFF)


def in_force(settings: Settings, options: ModelOptions, target: Target) -> int:
    """The group size in force: the setting's, else the IR's, else the target's default."""
    if settings.group_size is not None:
        return settings.group_size
    return target.default_group_size if options.group_size is None else options.group_size


def verdict_in(target: Target, site: CompressedMatMul, group_size: int, options: ModelOptions) -> Verdict:
    """The target's verdict, with the IR's own upper limit taken into account."""
    limit = options.largest_group_size
    if limit is not None and group_size > limit:
        reason = f"GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX={limit} turns quantization off above that group size"
        return Verdict(False, None, reason, _LIMITED)
    return target.verdict(site, group_size)


def _check_native(settings: Settings, target: Target) -> None:
    if settings.axis != -1:
        raise SettingsError(
            f"axis {settings.axis}: plugins quantize along the last axis; lowering emulate supports any"
        )
    _check_threshold(settings, target)
    _check_symmetry(settings, target)
    for rule in settings.rules:
        where = f"rule {rule.match!r}"
        if rule.axis not in (None, -1):
            raise SettingsError(f"{where}: native supports only the last axis; lowering emulate supports others")
        if rule.threshold is not None or rule.symmetric is not None:
            raise SettingsError(
                f"{where}: native has one threshold and symmetry for the process, set by environment variables; "
                "lowering emulate supports them per site"
            )


def _check_threshold(settings: Settings, target: Target) -> None:
    if settings.threshold not in (None, target.default_threshold) and THRESHOLD not in target.options:
        raise SettingsError(
            f"threshold {settings.threshold}: target {target.name} has no threshold; {_those_with(THRESHOLD)} and "
            "lowering emulate have one"
        )


def _check_symmetry(settings: Settings, target: Target) -> None:
    if settings.symmetric:
        return
    if ASYMMETRIC not in target.options:
        raise SettingsError(f"target {target.name} does not support symmetric: false; lowering emulate does")
    if settings.group_size not in (None, PER_TOKEN):
        raise SettingsError(
            f"symmetric: false works per token only, not with group size {settings.group_size}; "
            "lowering emulate supports both"
        )


def _those_with(option: str) -> str:
    """The targets that know an option."""
    return ", ".join(target.name for target in TARGETS.values() if option in target.options)


def _model_group(wanted: Sequence[Wanted], base: int, target: Target) -> int:
    """One group size for the model: the largest that any site needs; smaller ones are capped by their weights."""
    requested = {_requested(item, base) for item in wanted if not item.exempt} or {base}
    largest = max(requested)
    if len(requested) == 1:
        return largest
    if not target.per_site_group_size:
        sizes = ", ".join(str(format_group_size(size)) for size in sorted(requested))
        raise SettingsError(
            f"rules set group sizes {sizes}, but target {target.name} has one for the whole "
            f"model; {', '.join(t.name for t in TARGETS.values() if t.per_site_group_size)} and lowering emulate "
            "support several"
        )
    if largest < PER_TOKEN:
        return largest
    # Caps work below PER_TOKEN only: a group that is all of K for the longest layer is per token for each.
    return max(item.site.k for item in wanted if not item.exempt and _requested(item, base) == PER_TOKEN)


def _requested(item: Wanted, base: int) -> int:
    return base if item.rule is None or item.rule.group_size is None else item.rule.group_size


def _decide(
    item: Wanted,
    group: Sequence[Wanted],
    base: int,
    model_group: int,
    settings: Settings,
    options: ModelOptions,
) -> Decision:
    site, target = item.site, get_target(settings.target)
    verdict = verdict_in(target, site, model_group, options)
    if item.exempt:
        reason, method = f"exempt by {item.because}", None
        if verdict.eligible or verdict.throws:
            method = exemption_method(item, group, target, settings.exempt_with)
            reason += f": {method}"
        else:
            reason += f"; {target.name} does not quantize it anyway: {verdict.reason}"
        return decide(site, EXEMPT, reason, method=method)
    requested = _requested(item, base)
    alone = verdict if verdict.rule == _LIMITED else target.verdict(site, requested)
    if not alone.eligible and not alone.throws and item.rule is None:
        return _left_alone(item, group, requested, alone, verdict, settings)
    if alone.eligible and requested < model_group and verdict.group_size != alone.group_size:
        return _capped(item, group, requested, model_group, target)
    for judged in (alone, verdict):
        if not judged.eligible:
            instead = "; exempt it" if judged.rule == NOT_COMPILED else ""
            raise SettingsError(f"{item.because}: {site.name} cannot be quantized: {judged.reason}{instead}")
    return _granted(item, requested, verdict)


def _left_alone(
    item: Wanted, group: Sequence[Wanted], requested: int, alone: Verdict, verdict: Verdict, settings: Settings
) -> Decision:
    """A site that is not quantized at its own group size, but perhaps at the model's, which other sites need."""
    if not verdict.eligible:
        return decide(item.site, SKIP, alone.reason)
    if requested == PER_TOKEN:
        return _granted(item, requested, verdict)
    method = exemption_method(item, group, get_target(settings.target), settings.exempt_with)
    reason = f"{alone.reason}; exempt because the model's group size fits it: {method}"
    return decide(item.site, EXEMPT, reason, method=method)


def _granted(item: Wanted, requested: int, verdict: Verdict) -> Decision:
    effective = verdict.group_size or 0
    if item.rule is not None and effective < min(requested, item.site.k):
        raise SettingsError(
            f"{item.because}: {item.site.name} gets group size {effective}, not {format_group_size(requested)}: "
            f"{verdict.reason}"
        )
    whole = PER_TOKEN if requested == PER_TOKEN and effective >= item.site.k else effective
    return decide(item.site, QUANTIZE, verdict.reason, group_size=whole)


def _capped(item: Wanted, group: Sequence[Wanted], requested: int, model_group: int, target: Target) -> Decision:
    """A smaller group than the model's, by giving the weights a zero point and scales for that many elements."""
    site = item.site
    obstacle = _cap_obstacle(site, requested) or _fusion_obstacle(item, group, requested)
    rewritten = replace(
        site, symmetric=False, zero_point="integer", weight_group_size=requested, zero_point_group_size=requested
    )
    verdict = target.verdict(rewritten, model_group)
    if obstacle or verdict.group_size != requested:
        raise SettingsError(
            f"{item.because}: {site.name} cannot get group size {requested}: {obstacle or verdict.reason}"
        )
    reason = f"{item.because}: the weights get zero points and scales per {requested}, which caps the group"
    return decide(site, QUANTIZE, reason, group_size=requested, method=CAP)


def _cap_obstacle(site: CompressedMatMul, group_size: int) -> str | None:
    own = site.weight_group_size or site.k
    if site.zero_point == "float" or len(site.weights.scales) != 1 or not site.weights.k_axes:
        return f"ovpass cannot rewrite its decompression {site.chain}"
    if site.weights_input != 1 or site.weight_rank != 2:
        return "its weights are not a matrix on the second input"
    if own % group_size:
        return f"its weights' own group of {own} is not a multiple of {group_size}"
    return zero_point_obstacle(site)


def _fusion_obstacle(item: Wanted, group: Sequence[Wanted], requested: int) -> str | None:
    """The plugin fails to compile a fused trio whose scales differ in shape (measured, dynamic shapes)."""
    if len(group) != FUSED:
        return None
    sizes = {other.rule.group_size if other.rule else None for other in group if not other.exempt}
    alike = len({(other.site.weight_type, other.site.symmetric) for other in group}) == 1
    asymmetric = not item.site.symmetric or all(other.rule and other.rule.group_size for other in group)
    if alike and asymmetric and len(sizes) > 1:
        return f"the plugin fuses it with two others; give them group size {requested} too"
    return None


def _environment(settings: Settings, target: Target, base: int) -> dict[str, str]:
    environment = {}
    if settings.threshold not in (None, target.default_threshold):
        environment[OPTIONS[THRESHOLD].variable] = str(settings.threshold)
    if not settings.symmetric:
        if base != PER_TOKEN:
            raise SettingsError("symmetric: false works per token only; the IR sets another group size")
        environment[OPTIONS[ASYMMETRIC].variable] = "1"
    return environment
