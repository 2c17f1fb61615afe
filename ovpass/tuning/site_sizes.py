"""A group size of its own for each site: which changes buy most work for the accuracy that they cost.

Costs nearly add up (measured), so each site can be looked at alone: of its group sizes, those that lie on the convex
hull of gain over cost are worth taking, in the order of what they gain for what they cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from ovpass.errors import SettingsError
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import CompressedMatMul
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.plan_series import exempting, without

MIXED = -1
"""Stands for the group size of a plan in which sites have their own."""


@dataclass(frozen=True)
class Option:
    """A group size: what it gains in multiply-accumulates that count, and costs in nats per token."""

    group_size: int
    gain: float
    cost: float


class SiteSizes:
    """Plans in which sites may have smaller groups than the model, a series of plans.

    `experiment` has the settings of the model with its group size, `base`. `choices` are the sizes that the target
    uses, by site, for each group size of a whole model. `option` tells what sites gain and cost for a setting, from
    their sizes. Sites that read the same activation, which plugins may fuse, share a size; the first one's name stands
    for them.
    """

    group_size = MIXED

    def __init__(
        self,
        experiment: Experiment,
        base: int,
        choices: Mapping[int, Mapping[str, int]],
        option: Callable[[int, Mapping[str, int]], Option],
    ) -> None:
        self._experiment, self._base, self._choices, self._option = experiment, base, choices, option
        together: dict[object, list[CompressedMatMul]] = {}
        for site in experiment.sites:
            together.setdefault(site.group_id, []).append(site)
        self._members = {sites[0].name: sites for sites in together.values()}

    @cached_property
    def several(self) -> bool:
        """Whether there is a choice, and the target takes different sizes beside each other."""
        several = {first: list(found) for first, found in self._sizes.items() if len(found) > 1}
        asked = {first: found[number % len(found)] for number, (first, found) in enumerate(several.items())}
        return bool(several and self._planned(self._asking(asked)))

    @cached_property
    def changes(self) -> list[tuple[str, int]]:
        """How a plan gets bolder: sites that share a setting, and the setting."""
        return changes({first: [self._option(*item) for item in found.items()] for first, found in self._sizes.items()})

    @property
    def length(self) -> int:
        """The number of changes."""
        return len(self.changes)

    def left(self, steps: int) -> dict[str, int]:
        """The group size of each site that stays quantized with so many changes less than all."""
        own = (self._sizes[first][setting] for first, setting in self._taken(steps).items())
        return {name: group for groups in own for name, group in groups.items()}

    def left_out(self, steps: int) -> tuple[str, ...]:
        """The sites that are not quantized and could be, in the order of the model."""
        possible = dict(item for choice in self._choices.values() for item in choice.items())
        return without(self._experiment.sites, possible, self.left(steps))

    def possible(self, steps: int) -> bool:
        """Whether the target does that: what it makes of a size can depend on the sizes of other sites."""
        return self._planned(self.settings(steps)) == self.left(steps)

    def settings(self, steps: int) -> Settings:
        """The settings that plan this."""
        return exempting(self._asking(self._taken(steps)), self.left_out(steps))

    def _taken(self, steps: int) -> dict[str, int]:
        return dict(self.changes[: self.length - steps])

    @cached_property
    def _sizes(self) -> dict[str, dict[int, dict[str, int]]]:
        """For sites that share a size each setting, and what the target makes of it."""
        found: dict[str, dict[int, dict[str, int]]] = {first: {} for first in self._members}
        for names in self._alike():
            for size, uniform in self._choices.items():
                if size > self._base:
                    continue
                chosen = self._planned(self._asking(dict.fromkeys(names, size)))
                for first in names:
                    own = {site.name: uniform[site.name] for site in self._members[first] if site.name in uniform}
                    if own and all(chosen.get(name) == group for name, group in own.items()):
                        found[first][size] = own
        return found

    def _alike(self) -> list[list[str]]:
        """Those of one shape, of which a target makes the same: they are asked about together."""
        found: dict[object, list[str]] = {}
        for first, sites in self._members.items():
            shape = tuple((site.kind, site.k, site.weight_type, site.weight_group_size) for site in sites)
            found.setdefault(shape, []).append(first)
        return list(found.values())

    def _planned(self, settings: Settings) -> dict[str, int]:
        """The group sizes that the target makes of settings; nothing where it refuses them."""
        try:
            return self._experiment.choice(self._experiment.plan_for(settings))
        except SettingsError:
            return {}

    def _asking(self, asked: Mapping[str, int]) -> Settings:
        """Settings with a rule for each site that gets another size than the model."""
        rules = tuple(
            Rule(match=site.name, group_size=size)
            for first, size in asked.items()
            if size != self._base
            for site in self._members[first]
        )
        settings = self._experiment.settings
        return replace(settings, rules=(*rules, *settings.rules))


def changes(options: Mapping[str, list[Option]]) -> list[tuple[str, int]]:
    """The keys of `options` and the group sizes that they get, one change after the other.

    Those that gain most for their cost come first. None is quantized before its first change, and a later one replaces
    its group size.
    """
    found = [
        (_slope(before, after), name, after.group_size)
        for name, choices in options.items()
        for before, after in pairwise(_hull(choices))
    ]
    found.sort(key=lambda change: change[0], reverse=True)
    return [(name, size) for _, name, size in found]


def _hull(choices: list[Option]) -> list[Option]:
    """No quantization, and those on the upper hull of gain over cost: each gains more than before, and less for it."""
    hull = [Option(0, 0.0, 0.0)]
    for option in sorted(choices, key=lambda option: (option.cost, -option.gain)):
        if option.gain <= hull[-1].gain:
            continue
        while len(hull) > 1 and _slope(hull[-1], option) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(option)
    return hull


def _slope(before: Option, after: Option) -> float:
    cost = after.cost - before.cost
    return (after.gain - before.gain) / cost if cost > 0 else math.inf
