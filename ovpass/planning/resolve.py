"""Resolve settings and rules to the settings of each site."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.settings.selection import Candidates
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets.group_sizes import OFF


@dataclass(frozen=True)
class Wanted:
    """What is asked of one site; no rule where only the general setting or the target's default applies.

    `off` tells that the general setting quantizes nothing.
    """

    site: CompressedMatMul
    rule: Rule | None
    off: bool = False

    @property
    def exempt(self) -> bool:
        """Whether the site is left out."""
        if self.rule is None or self.rule.group_size is None:
            return self.off or (self.rule is not None and self.rule.exempt)
        return False

    @property
    def because(self) -> str:
        """The rule in words, for a reason."""
        return f"rule {self.rule.match!r}" if self.rule else "general settings"


def resolve(sites: Sequence[CompressedMatMul], settings: Settings) -> list[Wanted]:
    """Pair every site with the first rule that picks it. Rules that pick no site are `check_rules`' concern."""
    first: dict[str, Rule] = {}
    candidates = Candidates(sites)
    for rule in settings.rules:
        for site in candidates.matching(rule.match):
            first.setdefault(site.name, rule)
    return [Wanted(site, first.get(site.name), off=settings.group_size == OFF) for site in sites]


def check_rules(sites: Sequence[CompressedMatMul], settings: Settings) -> None:
    """Make sure that every rule picks at least one site.

    Raises:
        SettingsError: naming the first that does not, with near misses.
    """
    candidates = Candidates(sites)
    for rule in settings.rules:
        candidates.select(rule.match)


def by_activation(wanted: Sequence[Wanted]) -> dict[str, list[Wanted]]:
    """Sites that read one activation, which plugins may fuse."""
    groups: dict[str, list[Wanted]] = defaultdict(list)
    for item in wanted:
        groups[item.site.group_id].append(item)
    return groups


def split_note(group: Sequence[Wanted]) -> str:
    """Words for the reasons of exempt members where a rule treats those of one group differently, or nothing."""
    exempt = sum(item.exempt for item in group)
    if exempt in (0, len(group)):
        return ""
    return f"; splits the group of {len(group)} sites that read {group[0].site.group_id}"
