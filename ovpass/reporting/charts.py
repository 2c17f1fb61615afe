"""The chart of accuracy against work, and what all charts share."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from ovpass.reporting.formatting import group_words, listed, percent, signed_percent
from ovpass.reporting.measurements import Point, TuneRun
from ovpass.reporting.svg import ACCENT, INK, MARKERS, SERIES, SURFACE, Draw, Drawing, drawing
from ovpass.reporting.ticks import log_ticks
from ovpass.support.formatting import counted, number

DASHES = (0, (4, 3))


@dataclass(frozen=True)
class Chart:
    """A drawing, what it shows, in words, and the lines in it: the number of the colour and marker, and a name.

    `ring` is the name of what has a ring around it, if anything.
    """

    title: str
    text: str
    drawing: Drawing
    keys: tuple[tuple[int, str], ...]
    ring: str = ""


def frontier_chart(tuned: TuneRun, name: str) -> Chart | None:
    """KL divergence against the share of work; None where nothing can be drawn on a logarithmic scale."""
    by_size: dict[str, list[Point]] = defaultdict(list)
    for point in filter(_drawable, tuned.measured):
        by_size[point.group_size].append(point)
    if not by_size:
        return None
    sizes = list(by_size)[: len(SERIES)]
    chosen = tuned.chosen
    plans = counted(sum(map(len, by_size.values())), "plan")
    text = (
        f"{plans} measured: {listed([group_words(size) for size in by_size])}. "
        f"Chosen: {group_words(chosen.group_size)}, {counted(chosen.left_out, 'site')} left out, "
        f"{percent(chosen.share)} of the work at KL {number(chosen.spent.kl, 2)}."
    )
    lines = [(size, sorted(by_size[size], key=lambda point: point.share)) for size in sizes]
    keys = tuple((index + 1, group_words(size)) for index, size in enumerate(sizes))
    picture = drawing(_frontier(lines, chosen, tuned.plan.evidence.budget.get("max_kl")), name)
    ring = "chosen" if _drawable(chosen) else ""
    return Chart("Accuracy against work quantized", text + not_drawn(by_size), picture, keys, ring)


def not_drawn(lines: Sized) -> str:
    """What is more than there are colours for is said to be missing."""
    more = len(lines) - len(SERIES)
    return f" {more} more are not drawn; the table lists all." if more > 0 else ""


def _drawable(point: Point) -> bool:
    return 0 < point.spent.kl < math.inf and math.isfinite(point.share)


def _frontier(lines: Sequence[tuple[str, Sequence[Point]]], chosen: Point, limit: float | None) -> Draw:
    def draw(axes: Any) -> Mapping[str, Sequence[str]]:
        titles = {}
        for index, (_, points) in enumerate(lines):
            gid = f"points{index}"
            draw_line(axes, index, [100 * p.share for p in points], [p.spent.kl for p in points], gid)
            titles[gid] = [_about(point) for point in points]
        if limit is not None and 0 < limit < math.inf:
            axes.axhline(limit, color=INK, linewidth=1, linestyle=DASHES)
            annotate(axes, "budget", (0, limit), ("axes fraction", "data"), (3, 3))
        if _drawable(chosen):
            place = (100 * chosen.share, chosen.spent.kl)
            axes.plot(*place, marker="o", markersize=15, markeredgewidth=2, mfc="none", mec=ACCENT, color=ACCENT)
        axes.set_yscale("log")
        ticks = log_ticks(*axes.get_ylim())
        axes.set_yticks([tick for tick, _ in ticks], [text for _, text in ticks])
        axes.minorticks_off()
        axes.set(xlabel="work quantized, percent", ylabel="KL divergence, nats per token")
        return titles

    return draw


def annotate(axes: Any, text: str, place: Any, coordinates: Any, offset: tuple[int, int]) -> None:
    """A word beside a place, `offset` points from it."""
    axes.annotate(text, place, xycoords=coordinates, xytext=offset, textcoords="offset points", color=INK)


def _about(point: Point) -> str:
    return (
        f"{group_words(point.group_size)}, {counted(point.left_out, 'site')} left out: {percent(point.share)} of "
        f"the work, KL {number(point.spent.kl, 2)}, perplexity {signed_percent(point.spent.perplexity_percent)}"
    )


def draw_line(axes: Any, index: int, x: Sequence[float], y: Sequence[float], gid: str) -> None:
    """A line with markers in the colour and form of its number."""
    (line,) = axes.plot(
        x, y, marker=MARKERS[index], color=SERIES[index], linewidth=1.8, markersize=7,
        markeredgecolor=SURFACE, markeredgewidth=1.2,
    )  # fmt: skip
    line.set_gid(gid)
