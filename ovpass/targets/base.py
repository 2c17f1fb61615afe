"""What every target answers: would this device quantize this site's activation, how, and if not, why."""

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
class Target:
    """A device as ovpass knows it: its rules in the order in which the plugin comes to them.

    `adjust` turns the group size asked for into the one the plugin uses, before the rules look at it; `adjusted` says
    why, of a site, the one asked for and a different one that is used.
    """

    name: str
    title: str
    default_group_size: int
    default_threshold: int
    compute: str
    refusals: tuple[Refusal, ...]
    adjust: Callable[[CompressedMatMul, int], int]
    adjusted: Callable[[CompressedMatMul, int, int], str]
    per_site_group_size: bool
    exemptions: tuple[str, ...]

    def verdict(self, site: CompressedMatMul, group_size: int) -> Verdict:
        """Whether `site` is quantized when the model's group size is `group_size` (0: switched off)."""
        if group_size == 0:
            return Verdict(False, None, "dynamic quantization is switched off (group size 0)", "off")
        if site.of_integers:
            return Verdict(False, None, "its own subgraph quantizes it, in f32; apply rewrites that", "foreign")
        effective = self.adjust(site, group_size)
        for refusal in self.refusals:
            reason = refusal.applies(site, effective)
            if reason is not None:
                return Verdict(False, None, reason, refusal.name)
        return Verdict(True, effective, self._granted(site, group_size, effective), "eligible")

    def _granted(self, site: CompressedMatMul, asked: int, effective: int) -> str:
        if effective != asked:
            return self.adjusted(site, asked, effective)
        return f"{site.weight_type} weights, K={site.k}"
