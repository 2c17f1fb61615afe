"""The model map: blocks by kinds, one cell per site."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.reporting.formatting import PER_TOKEN, group_words
from ovpass.reporting.sites import Key, Site
from ovpass.sites import kind_order
from ovpass.support.formatting import number

LEVELS = 6
_BAND = 32
_SHADES = 6


@dataclass(frozen=True)
class Cell:
    """A site on the map: `level` is that of its cost, 1 to LEVELS, `shade` that of its group size, 1 and up.

    `label` is the group size in few characters, `plugin` what came of the plan: on, off or differs.
    """

    site: Site
    level: int | None
    shade: int | None
    label: str
    plugin: str | None
    text: str


@dataclass(frozen=True)
class ConstantLocation:
    """The sites of one kind in one block; `row` and `column` count from 1."""

    row: int
    column: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Band:
    """Some blocks, side by side."""

    blocks: tuple[int, ...]
    kinds: tuple[str, ...]
    slots: tuple[ConstantLocation, ...]


@dataclass(frozen=True)
class Row:
    """Sites of one kind that are in no block."""

    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ModelMap:
    """The map of one model of a folder; `submodel` is "" where there is one."""

    submodel: str
    columns: int
    bands: tuple[Band, ...]
    outside: tuple[Row, ...]


@dataclass(frozen=True)
class Legend:
    """The shades of group sizes with their labels and names, and what each level of cost means."""

    groups: tuple[tuple[int, str, str], ...]
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Atlas:
    """All maps of a model, and how to read them."""

    maps: tuple[ModelMap, ...]
    legend: Legend


def draw_maps(sites: Sequence[Site]) -> Atlas:
    """Lay out every site just once."""
    scale = _Scale(sites)
    submodels = list(dict.fromkeys(site.submodel for site in sites))
    maps = [_draw(name, [site for site in sites if site.submodel == name], scale) for name in submodels]
    return Atlas(tuple(maps), scale.legend())


class _Scale:
    """Colours of all sites."""

    def __init__(self, sites: Sequence[Site]) -> None:
        costs = [site.cost for site in sites if site.cost is not None and site.cost > 0 and math.isfinite(site.cost)]
        self._low, self._high = (min(costs), max(costs)) if costs else (0.0, 0.0)
        groups = {group for site in sites if (group := _group(site)) is not None}
        self._groups = sorted(groups, key=lambda group: (not group.isdecimal(), int(group) if group.isdecimal() else 0))

    def cell(self, site: Site) -> Cell:
        """The site with its colours and what is said of it."""
        group = _group(site)
        shade = None if group is None else self._shade(group)
        return Cell(site, self._level(site.cost), shade, _label(group), _plugin(site), describe(site))

    def _shade(self, group: str) -> int:
        """The largest groups are the darkest."""
        return max(1, _SHADES - len(self._groups) + 1 + self._groups.index(group))

    def _level(self, cost: float | None) -> int | None:
        if cost is None or math.isnan(cost):
            return None
        if cost <= self._low or self._low == self._high:
            return 1 if cost < self._high else LEVELS
        low, high = math.log(self._low), math.log(self._high)  # their ratio can be more than a float holds
        return min(LEVELS, 1 + int((math.log(min(cost, self._high)) - low) / (high - low) * LEVELS))

    def legend(self) -> Legend:
        """How to read the colours."""
        levels: list[str] = []
        if self._high:
            low, high = math.log(self._low), math.log(self._high)
            starts = [math.exp(low + (high - low) * level / LEVELS) for level in range(LEVELS)]
            levels = [f"from {number(start, 2)}" for start in starts]
        groups = tuple((self._shade(group), _label(group), group) for group in self._groups)
        return Legend(groups, tuple(levels))


def _group(site: Site) -> str | None:
    return (site.found or site.group) if site.on else None


def _label(group: str | None) -> str:
    """A group size in few characters."""
    return "T" if group == PER_TOKEN else group or ""


def _plugin(site: Site) -> str | None:
    if site.agrees is None:
        return None
    return ("on" if site.on else "off") if site.agrees else "differs"


def describe(site: Site) -> str:
    """A site in one text, for whoever points at it or cannot see it."""
    block = "" if site.layer is None else f", block {site.layer}"
    parts = [f"{site.name}: {site.kind}{block}"]
    if site.weights:
        parts.append(site.weights)
    group = "" if site.group is None else f" {group_words(site.group)}"
    parts.append(f"{site.action}{group}{': ' + site.reason if site.reason else ''}")
    if site.asked is not None:
        parts.append(f"the source file requests {site.asked}")
    if site.found is not None:
        parts.append(f"found: {site.found}{'' if site.agrees else ', not as planned'}")
    if site.cost is not None:
        parts.append(f"costs {number(site.cost, 2)} nats per token alone")
    return "; ".join(parts)


def _draw(submodel: str, sites: Sequence[Site], scale: _Scale) -> ModelMap:
    inside = [site for site in sites if site.layer is not None]
    blocks = sorted({site.layer for site in inside if site.layer is not None})
    kinds = sorted({site.kind for site in inside}, key=kind_order)
    bands = [_band(blocks[i : i + _BAND], kinds, inside, scale) for i in range(0, len(blocks), _BAND)]
    outside = [site for site in sites if site.layer is None]
    rows = [
        Row(kind, tuple(scale.cell(site) for site in outside if site.kind == kind))
        for kind in sorted({site.kind for site in outside}, key=kind_order)
    ]
    return ModelMap(submodel, min(_BAND, len(blocks)), tuple(bands), tuple(rows))


def _band(blocks: Sequence[int], kinds: Sequence[str], sites: Sequence[Site], scale: _Scale) -> Band:
    columns = {block: column for column, block in enumerate(blocks, 1)}
    rows = {kind: row for row, kind in enumerate(kinds, 1)}
    found: dict[tuple[int, int], list[Cell]] = defaultdict(list)
    for site in sites:
        if site.layer in columns:
            found[columns[site.layer], rows[site.kind]].append(scale.cell(site))
    slots = [ConstantLocation(row, column, tuple(cells)) for (column, row), cells in sorted(found.items())]
    return Band(tuple(blocks), tuple(kinds), tuple(slots))


def anchors(sites: Sequence[Site], prefix: str) -> dict[Key, str]:
    """An id for the row of each site."""
    return {site.key: f"{prefix}{index}" for index, site in enumerate(sites)}
