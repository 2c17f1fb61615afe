"""Plot accuracy against work."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ovpass.support.plotting import new_figure, save_figure
from ovpass.targets.group_sizes import format_group_size
from ovpass.tuning.budget import Budget
from ovpass.tuning.tune import Point, Tuned


def save_frontier(tuned: Tuned, budget: Budget, path: Path) -> None:
    """Draw all measured points by group size, the chosen one, and the budget, as a picture.

    Raises:
        ExtraError: if matplotlib is missing.
        OutputError: if the file cannot be written.
    """
    by_size: dict[int, list[Point]] = defaultdict(list)
    for point in tuned.points:
        by_size[point.group_size].append(point)
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    for size, points in by_size.items():
        ordered = sorted((p for p in points if p.spent.kl > 0), key=lambda point: point.share)
        axes.plot(
            [100 * p.share for p in ordered],
            [p.spent.kl for p in ordered],
            marker="o",
            label=f"group size {format_group_size(size)}",
        )
    axes.plot([100 * tuned.point.share], [tuned.point.spent.kl], marker="*", markersize=16, label="chosen", ls="")
    if budget.max_kl is not None:
        axes.axhline(budget.max_kl, linestyle="--", color="gray", label="budget")
    axes.set_yscale("log")
    axes.set_xlabel("work quantized, percent of multiply-accumulates")
    axes.set_ylabel("KL divergence, nats per token")
    axes.legend()
    save_figure(figure, path)
