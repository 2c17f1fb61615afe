"""Merge what the runs say about each site."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP
from ovpass.reporting.measurements import SensitivityRun
from ovpass.reporting.schema import DecidedSite, InspectedSite, InspectRun, VerifyRun
from ovpass.support.formatting import counted

Key = tuple[str, str]
"""A submodel, "" where there is one model, and the name of a site in it."""

_SHAPE = re.compile(r"(\d+)x(\d+)$")


@dataclass(frozen=True)
class Site:
    """One site. What no run says is None; `cost` is KL in nats per token with only it quantized.

    `how` is what a plan settles for it beside the group size, `asked` what the file that the model was converted from
    asked for.
    """

    submodel: str
    name: str
    kind: str
    layer: int | None
    weights: str
    action: str
    reason: str
    group: str | None
    how: str = ""
    asked: str | None = None
    planned: str | None = None
    found: str | None = None
    agrees: bool | None = None
    difference: str | None = None
    cost: float | None = None
    screened: bool = False

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.submodel, self.name

    @property
    def macs(self) -> int:
        """Multiply-accumulates for each token; 0 where nothing tells the shape of its weights."""
        shape = _SHAPE.search(self.weights)
        return int(shape[1]) * int(shape[2]) if shape else 0

    @property
    def on(self) -> bool:
        """Whether it is quantized: as the plugin shows, else as planned."""
        return self.action == QUANTIZE if self.found is None else self.found != OFF


OFF = "not quantized"
"""What verify says instead of a group size."""


def gather(
    inspected: InspectRun | None,
    decided: Sequence[DecidedSite],
    verified: VerifyRun | None,
    measured: SensitivityRun | None,
) -> tuple[Site, ...]:
    """The sites in the model's order. A plan's word counts before that of inspect."""
    sites: dict[Key, Site] = {}
    for entry in inspected.sites if inspected else ():
        sites[entry.submodel, entry.name] = _inspected(entry)
    for decision in decided:
        known = sites.get((decision.submodel, decision.name))
        sites[decision.submodel, decision.name] = replace(_decided(decision), asked=known.asked if known else None)
    if verified is not None:
        sites = _with_findings(sites, verified)
    if measured is not None and measured.by == "site":
        costs = {unit.name: unit for unit in measured.ranking}
        for key, site in sites.items():
            if site.name in costs:
                unit = costs[site.name]
                sites[key] = replace(site, cost=unit.costs.trimmed, screened=unit.screened)
    return tuple(sites.values())


def _inspected(entry: InspectedSite) -> Site:
    symmetry = "symmetric" if entry.symmetric else "asymmetric"
    group = f"g{entry.weight_group_size}" if entry.weight_group_size else "per-channel"
    return Site(
        submodel=entry.submodel,
        name=entry.name,
        kind=entry.kind,
        layer=entry.layer,
        weights=f"{entry.weight_type} {symmetry} {group} {entry.n}x{entry.k}",
        action=QUANTIZE if entry.eligible else SKIP,
        reason=entry.reason,
        group=entry.group_size if entry.eligible else None,
        asked=entry.asked,
    )


def _decided(entry: DecidedSite) -> Site:
    group = entry.group_size if entry.action == QUANTIZE else None
    site = Site(entry.submodel, entry.name, entry.kind, entry.layer, entry.weights, entry.action, entry.reason, group)
    return replace(site, how=_how(entry))


def _how(entry: DecidedSite) -> str:
    symmetry = {None: None, True: "symmetric", False: "asymmetric"}[entry.symmetric]
    above = None if entry.threshold is None else f"above {counted(entry.threshold, 'token')}"
    axis = None if entry.axis is None else f"along axis {entry.axis}"
    return ", ".join(part for part in (entry.method, symmetry, above, axis) if part)


def _with_findings(sites: Mapping[Key, Site], verified: VerifyRun) -> dict[Key, Site]:
    """What the plugin did; sites that only it knows are of kind `other`."""
    known = dict(sites)
    differing = {(entry.submodel, entry.name): entry.reason for entry in verified.mismatches}
    for entry in verified.sites:
        key = entry.submodel, entry.name
        action = SKIP if entry.planned == OFF else QUANTIZE
        group = None if entry.planned == OFF else entry.planned
        site = known.get(key) or Site(*key, "other", None, "", action, "", group)
        known[key] = replace(
            site,
            planned=entry.planned,
            found=entry.found,
            agrees=key not in differing,
            difference=differing.get(key),
        )
    return known


def share_of_work(sites: Iterable[Site], quantized: Iterable[Site]) -> float | None:
    """The part of all multiply-accumulates that are those of `quantized`; None where shapes are not known."""
    total = sum(site.macs for site in sites)
    return sum(site.macs for site in quantized) / total if total else None


def left_out(sites: Iterable[Site]) -> list[Site]:
    """The sites that are exempt on purpose."""
    return [site for site in sites if site.action == EXEMPT]
