"""The interface of a target: does this device quantize this site's activation, how, and if not, why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ovpass.sites import CompressedMatMul


@dataclass(frozen=True)
class Verdict:
    """The answer for one site. `group_size` is the one really used, None where there is none."""

    eligible: bool
    group_size: int | None
    reason: str
    rule: str


@dataclass(frozen=True)
class Refusal:
    """One reason why a target leaves a site alone.

    `applies` gets the site and the group size in force for it, and returns the reason or None. `source` says
    where the rule can be read or how it was measured.
    """

    name: str
    source: str
    applies: Callable[[CompressedMatMul, int], str | None]


@dataclass(frozen=True)
class Adjustment:
    """One way in which the plugin makes another group size of the one asked for; the same one where it does not.

    `reason` says so of the group size that comes out, for which it has a {}.
    """

    source: str
    apply: Callable[[CompressedMatMul, int], int]
    reason: str


@dataclass(frozen=True)
class Target:
    """A device as ovpass knows it: its rules in the order in which the plugin comes to them.

    `adjustments` turn the group size asked for into the one the plugin uses, before the rules look at it.
    """

    name: str
    title: str
    default_group_size: int
    default_threshold: int
    compute: str
    refusals: tuple[Refusal, ...]
    adjustments: tuple[Adjustment, ...]
    per_site_group_size: bool
    exemptions: tuple[str, ...]

    def verdict(self, site: CompressedMatMul, group_size: int) -> Verdict:
        """Whether `site` is quantized when the model's group size is `group_size` (0: switched off)."""
        if group_size == 0:
            return Verdict(False, None, "dynamic quantization is switched off (group size 0)", "off")
        if site.of_integers:
            return Verdict(False, None, "its own subgraph quantizes it, in f32; apply rewrites that", "foreign")
        effective, changes = self.adjusted(site, group_size)
        for refusal in self.refusals:
            reason = refusal.applies(site, effective)
            if reason is not None:
                return Verdict(False, None, reason, refusal.name)
        granted = "; ".join(changes) or f"{site.weight_type} weights, K={site.k}"
        return Verdict(True, effective, granted, "eligible")

    def adjusted(self, site: CompressedMatMul, group_size: int) -> tuple[int, list[str]]:
        """The group size that the plugin makes of the one asked for, and why it is another."""
        reasons = []
        for adjustment in self.adjustments:
            before, group_size = group_size, adjustment.apply(site, group_size)
            if group_size != before:
                reasons.append(adjustment.reason.format(group_size))
        return group_size, reasons
