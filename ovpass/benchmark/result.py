"""Benchmark results as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovpass.benchmark.messages import Loaded
from ovpass.benchmark.statistics import Ratio, median, paired_ratio
from ovpass.benchmark.subjects import Subject
from ovpass.benchmark.workload import Workload


@dataclass(frozen=True)
class Series:
    """The samples of one metric, one a round, and their ratio to the first model's; None for that itself."""

    samples: tuple[float, ...]
    ratio: Ratio | None

    @property
    def median(self) -> float:
        """The middle of the samples."""
        return median(self.samples)


@dataclass(frozen=True)
class Cell:
    """One model at one length of prompt (None: no length to choose), its series by metric."""

    subject: int
    tokens: int | None
    series: Mapping[str, Series]


@dataclass(frozen=True)
class Outcome:
    """A subject, how it loaded, and the peak memory of its process in MB."""

    subject: Subject
    loaded: Loaded
    peak_megabytes: float


@dataclass(frozen=True)
class Result:
    """A whole benchmark; cells are in order of length, then of subject."""

    workload: Workload
    cpus: int
    outcomes: tuple[Outcome, ...]
    cells: tuple[Cell, ...]

    @property
    def generates(self) -> bool:
        """Whether it is about generating text, not inference alone."""
        return self.outcomes[0].subject.generates


Samples = Mapping[tuple[int, int | None], Sequence[Mapping[str, float]]]
"""What was measured, by subject and length, in the order of rounds."""


def make_cells(samples: Samples, seed: int) -> tuple[Cell, ...]:
    """Medians and ratios of the samples."""
    cells = []
    for (subject, tokens), rounds in sorted(samples.items(), key=lambda item: (item[0][1] or 0, item[0][0])):
        first = samples.get((0, tokens)) if subject else None
        cells.append(Cell(subject, tokens, {metric: _series(rounds, first, metric, seed) for metric in rounds[0]}))
    return tuple(cells)


def _series(
    rounds: Sequence[Mapping[str, float]], first: Sequence[Mapping[str, float]] | None, metric: str, seed: int
) -> Series:
    own = tuple(values[metric] for values in rounds)
    ratio = None if first is None else paired_ratio(own, [values[metric] for values in first], seed)
    return Series(own, ratio)


def result_to_dict(result: Result) -> dict[str, Any]:
    """Plain data for JSON; times in milliseconds, memory in MB."""
    first, workload = result.outcomes[0].loaded, result.workload
    return {
        "device": workload.device,
        "device_name": first.device_name,
        **first.versions,
        "cpus": result.cpus,
        "kind": "generation" if result.generates else "inference",
        "output_tokens": workload.output_tokens if result.generates else None,
        "prompt_lookup": workload.prompt_lookup,
        "repeats": workload.repeats,
        "warm_up": workload.warm_up,
        "seed": workload.seed,
        "subjects": [_outcome(outcome) for outcome in result.outcomes],
        "measurements": [_cell(cell, result) for cell in result.cells],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    subject, loaded = outcome.subject, outcome.loaded
    return {
        "model": subject.title,
        "path": str(subject.path),
        "properties": dict(subject.properties),
        "environment": dict(subject.environment),
        "effective_properties": dict(loaded.effective),
        "parallel_requests": loaded.requests,
        "thresholds": list(subject.thresholds),
        "load_seconds": loaded.seconds,
        "load_peak_mb": loaded.megabytes,
        "peak_mb": outcome.peak_megabytes,
    }


def _cell(cell: Cell, result: Result) -> dict[str, Any]:
    return {
        "subject": cell.subject,
        "model": result.outcomes[cell.subject].subject.title,
        "prompt_tokens": cell.tokens,
        **{metric: _numbers(series) for metric, series in cell.series.items()},
    }


def _numbers(series: Series) -> dict[str, Any]:
    ratio = series.ratio
    return {
        "median": series.median,
        "samples": list(series.samples),
        "ratio": None if ratio is None else ratio.value,
        "interval": None if ratio is None or ratio.interval is None else list(ratio.interval),
    }
