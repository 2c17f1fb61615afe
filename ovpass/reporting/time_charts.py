"""Charts of time against prompt length: of several models as ratios to the first, as the verdict tells them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovpass.reporting.charts import DASHES, Chart, annotate, draw_line, not_drawn
from ovpass.reporting.formatting import interval, listed, model_name, ratio
from ovpass.reporting.measurements import BenchRun, Measurement, Series
from ovpass.reporting.svg import INK, SERIES, Draw, drawing
from ovpass.reporting.verdict import METRICS
from ovpass.support.formatting import number

_APART = 1.3
"""The least ratio of two lengths that both have a label."""


def latency_charts(bench: BenchRun, threshold: int | None, name: str) -> list[Chart]:
    """One chart for each metric that was measured at several lengths; `threshold` is the one that verify found."""
    noted = {mark for subject in bench.subjects for mark in subject.thresholds}
    marks = sorted(mark for mark in noted | {threshold or 0} if mark > 0)
    return [
        Chart(
            f"{sweep.title}, {bench.device}",
            f"{sweep.text} {_marked(marks)}".strip() + not_drawn(bench.subjects),
            drawing(_draw(sweep, marks), f"{name}-{sweep.metric}"),
            tuple((line.subject + 1, f"#{line.subject + 1} {_name(bench, line.subject)}") for line in sweep.lines),
        )
        for sweep in _sweeps(bench)
    ]


@dataclass(frozen=True)
class _Point:
    """A value, the ends of its band, and how they are told."""

    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class _Line:
    """The points of a model by the number of tokens, in order."""

    subject: int
    points: Mapping[int, _Point]

    @property
    def last(self) -> str:
        """What is told of the longest prompt."""
        return f"#{self.subject + 1} {self.points[max(self.points)].text}"


@dataclass(frozen=True)
class _Sweep:
    """What one chart shows; `base` is where the first model is, None where times themselves are shown."""

    metric: str
    title: str
    unit: str
    text: str
    lines: Sequence[_Line]
    base: float | None = None


def _sweeps(bench: BenchRun) -> Iterator[_Sweep]:
    for metric, title in METRICS.items():
        measured = [entry for entry in bench.measurements if entry.prompt_tokens and getattr(entry, metric) is not None]
        if len({entry.prompt_tokens for entry in measured}) < 2:
            continue
        others = [entry for entry in measured if entry.subject > 0]
        if others and all(getattr(entry, metric).ratio is not None for entry in others):
            yield _ratios(bench, metric, title, others)
        else:
            yield _times(bench, metric, title, measured)


def _ratios(bench: BenchRun, metric: str, title: str, measured: Sequence[Measurement]) -> _Sweep:
    lines = _lines(metric, measured, _as_ratio)
    text = (
        f"{title} as a ratio to #1, {_name(bench, 0)}, for {_range(measured)} prompt tokens: medians of "
        f"{bench.repeats} rounds of the ratio within a round; the band is the 95 % interval. {_last(measured, lines)}"
    )
    return _Sweep(metric, f"{title}, relative to #1", "ratio to #1", text, lines, base=1.0)


def _times(bench: BenchRun, metric: str, title: str, measured: Sequence[Measurement]) -> _Sweep:
    lines = _lines(metric, measured, _as_time)
    text = (
        f"{title} for {_range(measured)} prompt tokens, medians of {bench.repeats} rounds; the band is from fastest to "
        f"slowest. {_last(measured, lines)}"
    )
    return _Sweep(metric, title, "ms", text, lines)


def _as_ratio(series: Series) -> _Point:
    value = math.nan if series.ratio is None else series.ratio
    within = f" ({interval(series.interval, '.2f')})" if series.interval else ""
    return _Point(value, *(series.interval or (value, value)), f"{ratio(value)}{within}")


def _as_time(series: Series) -> _Point:
    samples = series.samples or (series.median,)
    return _Point(series.median, min(samples), max(samples), f"{number(series.median)} ms")


def _lines(metric: str, measured: Sequence[Measurement], point: Callable[[Series], _Point]) -> list[_Line]:
    lines = []
    for subject in sorted({entry.subject for entry in measured})[: len(SERIES)]:
        own = {entry.prompt_tokens or 0: getattr(entry, metric) for entry in measured if entry.subject == subject}
        lines.append(_Line(subject, {tokens: point(own[tokens]) for tokens in sorted(own)}))
    return lines


def _last(measured: Sequence[Measurement], lines: Sequence[_Line]) -> str:
    last = max(entry.prompt_tokens or 0 for entry in measured)
    return f"At {last} tokens: {', '.join(line.last for line in lines if last in line.points)}."


def _range(measured: Sequence[Measurement]) -> str:
    lengths = [entry.prompt_tokens or 0 for entry in measured]
    return f"{min(lengths)} to {max(lengths)}"


def _marked(marks: Sequence[int]) -> str:
    return f"Marked: quantization starts above {listed([str(mark) for mark in marks])} tokens." if marks else ""


def _name(bench: BenchRun, subject: int) -> str:
    return model_name(bench.subjects[subject].model)


def _draw(sweep: _Sweep, marks: Sequence[int]) -> Draw:
    def draw(axes: Any) -> Mapping[str, Sequence[str]]:
        titles = {}
        for line in sweep.lines:
            gid, points = f"points{line.subject}", list(line.points.values())
            draw_line(axes, line.subject, list(line.points), [point.value for point in points], gid)
            band = [point.low for point in points], [point.high for point in points]
            axes.fill_between(list(line.points), *band, color=SERIES[line.subject], alpha=0.15, linewidth=0)
            titles[gid] = [f"#{line.subject + 1}, {n} tokens: {point.text}" for n, point in line.points.items()]
        if sweep.base is not None:
            axes.axhline(sweep.base, color=INK, linewidth=1, linestyle=DASHES)
            annotate(axes, "#1", (0, sweep.base), ("axes fraction", "data"), (3, 3))
        for mark in marks:
            axes.axvline(mark, color=INK, linewidth=1, linestyle=DASHES)
            annotate(axes, f"threshold {mark}", (mark, 1), ("data", "axes fraction"), (4, -10))
        ticks = _ticks(sorted({tokens for line in sweep.lines for tokens in line.points}))
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="prompt tokens", ylabel=sweep.unit, ylim=(0, None))
        return titles

    return draw


def _ticks(lengths: Sequence[int]) -> list[int]:
    """Lengths whose labels do not cover each other."""
    ticks: list[int] = []
    for length in lengths:
        if not ticks or length > _APART * ticks[-1]:
            ticks.append(length)
    return ticks
