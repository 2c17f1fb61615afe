"""Leave out sites that are not expected to be faster (`only_if_faster`), by measured times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ovpass.errors import SettingsError
from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP, Decision, Plan
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets import TARGETS
from ovpass.targets.costs import (
    Calibration,
    Chosen,
    Work,
    default_variant,
    product_time,
    quantization_time,
    site_work,
)
from ovpass.targets.costs.calibration import INT8
from ovpass.targets.names import get_target

_OWN_ON = "skipped sites run with the plugin's defaults; a CPU can quantize them dynamically"
_OWN_OFF = (
    "rules exempt sites, so the plugin's own quantization is off; skipped sites can be slower than "
    "with the plugin's defaults"
)


@dataclass(frozen=True)
class Timed:
    """Microseconds expected of a site at some number of tokens, by default and as planned.

    `quantized` leaves out what quantizing the activation takes where several sites share that.
    """

    site: CompressedMatMul
    default: float
    quantized: float

    @property
    def gains(self) -> bool:
        """Whether the product alone is faster."""
        return self.quantized < self.default


def costs_for(settings: Settings, not_timed: str | None) -> Chosen:
    """The times to expect of what is planned; `not_timed` is why the lowering has none.

    Raises:
        SettingsError: if they cannot, and what can be done.
    """
    costs = get_target(settings.target).costs
    if costs is None:
        timed = ", ".join(target.name for target in TARGETS.values() if target.costs is not None)
        raise SettingsError(
            f"only_if_faster: target {settings.target} has no calibration, only {timed}; "
            "scripts/calibrate_costs.py creates one for a CPU. Measure with 'ovpass bench' and exempt sites by rules"
        )
    if not_timed is not None:
        raise SettingsError(f"only_if_faster: {not_timed}")
    return costs()


def keep_faster(sites: Sequence[CompressedMatMul], plan: Plan, chosen: Chosen, own_group_size: int) -> Plan:
    """Skip the sites of an int8 plan that are not expected to be faster at `plan.settings.at_tokens` tokens.

    The decision is for an activation and all sites that read it, because they share its quantization. Skipped sites run
    as by default. On a CPU without AMX the default is the plugin's own quantization in groups of `own_group_size`, also
    in bf16, and disabling it makes them slower (docs/experiments/int8-costs.md). If rules exempt sites from all
    quantization, it stays disabled.
    """
    by_name, tokens = {site.name: site for site in sites}, plan.settings.at_tokens
    groups: dict[str, list[CompressedMatMul]] = defaultdict(list)
    for decision in plan.chosen(QUANTIZE):
        groups[by_name[decision.name].group_id].append(by_name[decision.name])
    ratios = dict(found for group in groups.values() for found in _group_ratios(group, chosen.calibration, tokens))
    decisions = tuple(
        _judged(decision, by_name[decision.name], ratios.get(decision.name), tokens)
        if decision.action == QUANTIZE
        else decision
        for decision in plan.decisions
    )
    kept, notes = replace(plan, decisions=decisions), (*plan.notes, chosen.note)
    if len(kept.chosen(SKIP)) == len(plan.chosen(SKIP)):
        return replace(kept, notes=notes)
    if plan.chosen(EXEMPT):
        return replace(kept, notes=(*notes, _OWN_OFF))
    return replace(kept, notes=(*notes, _OWN_ON), model_group_size=own_group_size)


def _group_ratios(
    group: Sequence[CompressedMatMul], calibration: Calibration, tokens: int
) -> Iterator[tuple[str, float]]:
    """Expected time of each site by the default's, below 1 for those that are best quantized.

    Those that gain by themselves bear the quantization of the activation together; if they do not make up for it,
    none is quantized. A site that does not gain is not quantized even where that has been paid.
    """
    timed = [_timed_int8(site, calibration, tokens) for site in group]
    calibrated = [each for each in timed if each is not None]
    # A site that stays quantized because nothing is known of it pays for the others.
    paid = len(calibrated) < len(timed)
    quantization = 0.0 if paid else quantization_time(calibration.quantization, group[0].k, tokens)
    gaining = [each for each in calibrated if each.gains]
    together = _ratio(gaining, quantization) if gaining else None
    alone = 0.0 if together is not None and together < 1 else quantization
    for each in calibrated:
        yield each.site.name, together if together is not None and each.gains else _ratio([each], alone)


def _ratio(timed: Sequence[Timed], quantization: float = 0.0) -> float:
    return (quantization + sum(each.quantized for each in timed)) / sum(each.default for each in timed)


def _timed_int8(site: CompressedMatMul, calibration: Calibration, tokens: int) -> Timed | None:
    """Its times, None for weights that were not calibrated."""
    default = default_variant(calibration, site.weight_type)
    if default is None:
        return None
    return Timed(
        site,
        default=product_time(calibration.variants[default], site_work(site), tokens),
        quantized=product_time(calibration.variants[INT8], Work.per_channel(site.k, site.n), tokens),
    )


def _judged(decision: Decision, site: CompressedMatMul, ratio: float | None, tokens: int) -> Decision:
    if ratio is None:
        return replace(decision, reason=f"{decision.reason}; {site.weight_type} weights are not calibrated")
    words = f"expected {ratio:.2f} of the default time at {tokens} tokens: K={site.k} N={site.n}"
    if ratio < 1:
        return replace(decision, reason=f"{decision.reason}; {words}", expected_ratio=round(ratio, 4))
    return replace(decision, action=SKIP, reason=words, group_size=None, method=None, expected_ratio=round(ratio, 4))
