"""Plot times against prompt lengths."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ovpass.benchmark.messages import LATENCY, TPOT, TTFT
from ovpass.benchmark.result import Result
from ovpass.benchmark.workload import Workload
from ovpass.errors import SettingsError
from ovpass.support.plotting import check_picture, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {TTFT: "Time to first token", TPOT: "Time per output token", LATENCY: "Latency"}
_NOTHING = "nothing to plot, because the inputs have only one length"
_APART = 1.15  # labels of 64 and 65 would cover each other


def check_plot(path: Path, workload: Workload) -> None:
    """Make sure, before hours of measuring, that there can be a picture.

    Raises:
        SettingsError: for another kind of file, and for inputs of one length.
        ExtraError: without matplotlib.
    """
    check_picture(path)
    if workload.inputs is not None:
        raise SettingsError(f"--plot {path}: {_NOTHING}")


def save_plot(result: Result, path: Path) -> None:
    """Draw medians, all samples between, and thresholds of quantization; whole or not at all.

    Raises:
        SettingsError: if no length was swept.
        OutputError: if the file cannot be written.
    """
    if all(cell.tokens is None for cell in result.cells):
        raise SettingsError(f"--plot {path}: {_NOTHING}")
    metrics = [metric for metric in _TITLES if metric in result.cells[0].series]
    figure = new_figure(5 * len(metrics), 5)
    panels = list(figure.subplots(1, len(metrics), squeeze=False)[0])
    for metric, axes in zip(metrics, panels, strict=True):
        _draw(axes, result, metric)
    lines, names = panels[0].get_legend_handles_labels()
    names = [fill(name, 60 * len(metrics)) for name in names]
    figure.legend(lines, names, loc="outside lower center", fontsize="small")
    save_figure(figure, path)


def _draw(axes: Axes, result: Result, metric: str) -> None:
    for index, outcome in enumerate(result.outcomes):
        cells = [cell for cell in result.cells if cell.subject == index and cell.tokens is not None]
        lengths = [cell.tokens or 0 for cell in cells]
        series = [cell.series[metric] for cell in cells]
        title = outcome.subject.title.replace("$", r"\$")  # a pair of them would enclose a formula
        (line,) = axes.plot(lengths, [s.median for s in series], marker="o", label=f"#{index + 1} {title}")
        low, high = [min(s.samples) for s in series], [max(s.samples) for s in series]
        axes.fill_between(lengths, low, high, color=line.get_color(), alpha=0.2)
        for threshold in outcome.subject.thresholds:
            axes.axvline(threshold, color=line.get_color(), linestyle="--", label=f"#{index + 1} threshold {threshold}")
    ticks: list[int] = []
    for tokens in sorted({cell.tokens for cell in result.cells if cell.tokens is not None}):
        if not ticks or tokens > _APART * ticks[-1]:
            ticks.append(tokens)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks], rotation=45)
    axes.minorticks_off()
    axes.set(title=f"{_TITLES[metric]}, {result.workload.device}", xlabel="prompt tokens", ylabel="ms", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
