"""Compare times of two sides at the lengths that both have."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.reporting.formatting import model_name
from ovpass.reporting.measurements import BenchRun
from ovpass.reporting.verdict import METRICS
from ovpass.support.formatting import number

Times = dict[str, str]
_Cells = dict[tuple[str, str, int], str]


def times(left: Sequence[BenchRun], right: Sequence[BenchRun]) -> tuple[Times, Times]:
    """What was measured by both on one device, each at the longest prompt in common; else each side's own."""
    cells = _cells(left), _cells(right)
    common = cells[0].keys() & cells[1].keys()
    shared = {key[:2] for key in common}
    return _longest(cells[0], common, shared), _longest(cells[1], common, shared)


def _cells(benchmarks: Sequence[BenchRun]) -> _Cells:
    """The last model's times by metric, device and length; that model is the one that is compared."""
    return {
        (
            title,
            bench.device,
            entry.prompt_tokens or 0,
        ): f"{number(series.median)} ms, {model_name(bench.subjects[-1].model)}"
        for bench in benchmarks
        for entry in bench.measurements
        for metric, title in METRICS.items()
        if entry.subject == len(bench.subjects) - 1 and (series := getattr(entry, metric)) is not None
    }


def _longest(cells: _Cells, common: set[tuple[str, str, int]], shared: set[tuple[str, str]]) -> Times:
    last: dict[tuple[str, str], int] = {}
    for title, device, tokens in cells:
        if (title, device, tokens) in common or (title, device) not in shared:
            last[title, device] = max(tokens, last.get((title, device), 0))
    return {
        f"{title}{f', {tokens} tokens' if tokens else ''}, {device}": cells[title, device, tokens]
        for (title, device), tokens in last.items()
    }
