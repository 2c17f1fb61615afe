"""What another budget would have given: the plans along tune's frontier, and the sites that each leaves out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ovpass.reporting.formatting import group_words, percent, signed_percent
from ovpass.reporting.measurements import Point
from ovpass.reporting.side import Side
from ovpass.reporting.sites import Site
from ovpass.sites import kind_order
from ovpass.support.formatting import counted, number


@dataclass(frozen=True)
class Stop:
    """A plan: the KL divergence from which a budget allows it, and what it is."""

    budget: float
    point: Point

    @property
    def text(self) -> str:
        """The plan in a sentence."""
        spent = self.point.spent
        return (
            f"{group_words(self.point.group_size)}, {counted(self.point.left_out, 'site')} left out, "
            f"{percent(self.point.share)} of the work quantized; it costs KL {number(spent.kl, 2)} and perplexity "
            f"{signed_percent(spent.perplexity_percent)}"
        )


@dataclass(frozen=True)
class WhatIf:
    """The stops of the slider, from the strictest budget on; it starts at `start`. `chosen` is tune's plan, if a stop.

    `orders` has for each group size its sites, by their places in the table, in the order in which they are left out.
    `kinds` are sites with their places, to draw.
    """

    stops: tuple[Stop, ...]
    start: int
    chosen: int | None
    orders: dict[str, list[int]]
    kinds: tuple[tuple[str, tuple[tuple[int, Site], ...]], ...]

    @property
    def data(self) -> str:
        """What the page's script reads, as JSON."""
        stops = [
            {
                "budget": number(stop.budget, 2),
                "size": stop.point.group_size,
                "left": stop.point.left_out,
                "text": stop.text,
            }
            for stop in self.stops
        ]
        return json.dumps({"stops": stops, "chosen": self.chosen, "orders": self.orders}, separators=(",", ":"))


def what_if(side: Side) -> WhatIf | None:
    """None where tune was not run, or did not say which sites are left out first."""
    tuned = side.tuned
    if tuned is None:
        return None
    places = {site.name: place for place, site in enumerate(side.sites)}
    orders = {size: [places[name] for name in names if name in places] for size, names in tuned.leaving.items()}
    stops = _stops([point for point in tuned.frontier if point.group_size in orders])
    if len(stops) < 2:
        return None
    chosen = next((place for place, stop in enumerate(stops) if stop.point == tuned.chosen), None)
    start = _nearest(stops, tuned.chosen) if chosen is None else chosen
    return WhatIf(stops, start, chosen, orders, tuple(_kinds(side.sites)))


def _stops(frontier: Sequence[Point]) -> tuple[Stop, ...]:
    """Those that no other one beats at the budget that allows it; the frontier itself goes by estimates."""
    stops: list[Stop] = []
    for point in reversed(frontier):
        budget = point.spent.kl_interval[1] if point.spent.kl_interval else point.spent.kl
        if math.isfinite(budget) and (not stops or budget < stops[-1].budget):
            stops.append(Stop(budget, point))
    return tuple(reversed(stops))


def _nearest(stops: Sequence[Stop], chosen: Point) -> int:
    """The stop with about the work of the chosen plan, if that is none itself."""
    return min(range(len(stops)), key=lambda stop: abs(stops[stop].point.share - chosen.share))


def _kinds(sites: Sequence[Site]) -> list[tuple[str, tuple[tuple[int, Site], ...]]]:
    placed = sorted(enumerate(sites), key=lambda entry: (*kind_order(entry[1].kind), entry[0]))
    return [(kind, tuple(own)) for kind, own in groupby(placed, key=lambda entry: entry[1].kind)]
