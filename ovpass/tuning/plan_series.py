"""Plans in the order of a search: from the boldest one to one that quantizes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ovpass.settings.settings import Rule, Settings
from ovpass.sites import CompressedMatMul


class PlanSeries(Protocol):
    """Plans of one kind, by how many steps they are less bold than the boldest."""

    @property
    def group_size(self) -> int:
        """The group size of its plans, or MIXED."""

    @property
    def length(self) -> int:
        """The steps from the boldest plan to one that quantizes nothing."""

    def left(self, steps: int) -> dict[str, int]:
        """The group size of each site that stays quantized."""

    def left_out(self, steps: int) -> tuple[str, ...]:
        """The sites that are not quantized and could be, in the order of the model."""

    def possible(self, steps: int) -> bool:
        """Whether the target does that."""

    def settings(self, steps: int) -> Settings:
        """The settings that plan this."""


def without(sites: Sequence[CompressedMatMul], names: Mapping[str, object], left: Mapping[str, int]) -> tuple[str, ...]:
    """Those of `names` that are not in `left`, in the order of `sites`."""
    return tuple(site.name for site in sites if site.name in names and site.name not in left)


def exempting(settings: Settings, names: Sequence[str]) -> Settings:
    """Settings that leave these sites out."""
    return replace(settings, rules=(*(Rule(match=name, exempt=True) for name in names), *settings.rules))
