"""Charts: accuracy against work, and time against prompt length."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from ovpass.reporting.formatting import group_words, listed, model_name, percent, signed_percent
from ovpass.reporting.measurements import BenchRun, Measurement, Point, Series, TuneRun
from ovpass.reporting.svg import ACCENT, INK, MARKERS, SERIES, SURFACE, Draw, Drawing, drawing
from ovpass.reporting.ticks import log_ticks
from ovpass.reporting.verdict import METRICS
from ovpass.support.formatting import counted, number

_APART = 1.3
_DASHES = (0, (4, 3))


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
    return Chart("Accuracy against work quantized", text + _left(by_size), picture, keys, ring)


def _left(lines: Sized) -> str:
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
            _line(axes, index, [100 * p.share for p in points], [p.spent.kl for p in points], gid)
            titles[gid] = [_about(point) for point in points]
        if limit is not None and 0 < limit < math.inf:
            axes.axhline(limit, color=INK, linewidth=1, linestyle=_DASHES)
            _say(axes, "budget", (0, limit), ("axes fraction", "data"), (3, 3))
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


def _say(axes: Any, text: str, place: Any, coordinates: Any, offset: tuple[int, int]) -> None:
    """A word beside a place, `offset` points from it."""
    axes.annotate(text, place, xycoords=coordinates, xytext=offset, textcoords="offset points", color=INK)


def _about(point: Point) -> str:
    return (
        f"{group_words(point.group_size)}, {counted(point.left_out, 'site')} left out: {percent(point.share)} of "
        f"the work, KL {number(point.spent.kl, 2)}, perplexity {signed_percent(point.spent.perplexity_percent)}"
    )


def latency_charts(bench: BenchRun, threshold: int | None, name: str) -> list[Chart]:
    """One chart for each metric that was measured at several lengths; `threshold` is the one that verify found."""
    swept = [entry for entry in bench.measurements if entry.prompt_tokens and entry.prompt_tokens > 0]
    if len({entry.prompt_tokens for entry in swept}) < 2:
        return []
    noted = {mark for subject in bench.subjects for mark in subject.thresholds}
    marks = sorted(mark for mark in noted | {threshold or 0} if mark > 0)
    charts = []
    for metric, title in METRICS.items():
        measured = [entry for entry in swept if getattr(entry, metric) is not None]
        if measured:
            keys = tuple(
                (i + 1, f"#{i + 1} {model_name(s.model)}") for i, s in enumerate(bench.subjects[: len(SERIES)])
            )
            text = f"{title} {_latency_text(bench, measured, metric, marks)}"
            picture = drawing(_latency(bench, measured, metric, marks), f"{name}-{metric}")
            charts.append(Chart(f"{title}, {bench.device}", text + _left(bench.subjects), picture, keys))
    return charts


def _latency_text(bench: BenchRun, measured: Sequence[Measurement], metric: str, marks: Sequence[int]) -> str:
    lengths = sorted({entry.prompt_tokens or 0 for entry in measured})
    last = [entry for entry in measured if entry.prompt_tokens == lengths[-1]]
    times = [f"#{e.subject + 1} {number(getattr(e, metric).median)} ms" for e in last]
    marked = f" Marked: quantization starts above {listed([str(mark) for mark in marks])} tokens." if marks else ""
    return (
        f"for {lengths[0]} to {lengths[-1]} prompt tokens, medians of {bench.repeats} rounds; the band is from "
        f"fastest to slowest. At {lengths[-1]} tokens: {', '.join(times)}.{marked}"
    )


def _latency(bench: BenchRun, measured: Sequence[Measurement], metric: str, marks: Sequence[int]) -> Draw:
    def draw(axes: Any) -> Mapping[str, Sequence[str]]:
        titles = {}
        for index in range(min(len(bench.subjects), len(SERIES))):
            own = sorted((e for e in measured if e.subject == index), key=lambda entry: entry.prompt_tokens or 0)
            titles[f"points{index}"] = _sweep(axes, index, own, metric)
        for mark in marks:
            axes.axvline(mark, color=INK, linewidth=1, linestyle=_DASHES)
            _say(axes, f"threshold {mark}", (mark, 1), ("data", "axes fraction"), (4, -10))
        ticks = _ticks(sorted({entry.prompt_tokens or 0 for entry in measured}))
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="prompt tokens", ylabel="ms", ylim=(0, None))
        return titles

    return draw


def _sweep(axes: Any, index: int, measured: Sequence[Measurement], metric: str) -> list[str]:
    """One model's medians over all lengths, and what to say of each."""
    lengths = [entry.prompt_tokens or 0 for entry in measured]
    series: list[Series] = [getattr(entry, metric) for entry in measured]
    _line(axes, index, lengths, [s.median for s in series], f"points{index}")
    samples = [s.samples or (s.median,) for s in series]
    axes.fill_between(
        lengths, list(map(min, samples)), list(map(max, samples)), color=SERIES[index], alpha=0.15, linewidth=0
    )
    return [f"#{index + 1}, {n} tokens: {number(s.median)} ms" for n, s in zip(lengths, series, strict=True)]


def _ticks(lengths: Sequence[int]) -> list[int]:
    """Lengths whose labels do not cover each other."""
    ticks: list[int] = []
    for length in lengths:
        if not ticks or length > _APART * ticks[-1]:
            ticks.append(length)
    return ticks


def _line(axes: Any, index: int, x: Sequence[float], y: Sequence[float], gid: str) -> None:
    (line,) = axes.plot(
        x, y, marker=MARKERS[index], color=SERIES[index], linewidth=1.8, markersize=7,
        markeredgecolor=SURFACE, markeredgewidth=1.2,
    )  # fmt: skip
    line.set_gid(gid)
