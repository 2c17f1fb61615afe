"""Plot accuracy against work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovpass.evaluation.summary import Interval
from ovpass.support.plotting import new_figure, save_figure
from ovpass.tuning.budget import Budget, Spent
from ovpass.tuning.tuned import Point, Tuned, size_name


@dataclass(frozen=True)
class _Quantity:
    """What a budget is about, and how it is drawn."""

    label: str
    scale: str
    value: Callable[[Spent], float]
    interval: Callable[[Spent], Interval | None]
    limit: float


def save_frontier(tuned: Tuned, budget: Budget, path: Path) -> None:
    """Draw all measured points with their intervals by group size, the chosen one, and the budget, as a picture.

    There is one plot for each quantity that has a budget.

    Raises:
        ExtraError: if matplotlib is missing.
        OutputError: if the file cannot be written.
    """
    quantities = _quantities(budget)
    figure = new_figure(7, 4.5 * len(quantities))
    for axes, quantity in zip(figure.subplots(len(quantities), squeeze=False)[:, 0], quantities, strict=True):
        _draw(axes, quantity, tuned)
    save_figure(figure, path)


def _quantities(budget: Budget) -> list[_Quantity]:
    found = []
    if budget.max_kl is not None:
        label = "KL divergence, nats per token"
        found.append(_Quantity(label, "log", lambda s: s.kl, lambda s: s.kl_interval, budget.max_kl))
    if (limit := budget.max_perplexity_percent) is not None:
        label = "increase of perplexity, percent"
        change = _Quantity(label, "linear", lambda s: s.perplexity_percent, lambda s: s.perplexity_interval, limit)
        found.append(change)
    return found


def _draw(axes: Any, quantity: _Quantity, tuned: Tuned) -> None:
    by_size: dict[int, list[Point]] = defaultdict(list)
    for point in tuned.points:
        if quantity.scale == "linear" or quantity.value(point.spent) > 0:
            by_size[point.group_size].append(point)
    for size, points in by_size.items():
        ordered = sorted(points, key=lambda point: point.share)
        _errorbar(axes, quantity, ordered, marker="o", capsize=2, label=f"group size {size_name(size)}")
    _errorbar(axes, quantity, [tuned.point], marker="*", markersize=16, label="chosen", ls="")
    axes.axhline(quantity.limit, linestyle="--", color="gray", label="budget")
    axes.set_yscale(quantity.scale)
    axes.set_xlabel("work quantized, percent of multiply-accumulates")
    axes.set_ylabel(quantity.label)
    axes.legend()


def _errorbar(axes: Any, quantity: _Quantity, points: list[Point], **style: Any) -> None:
    values = [quantity.value(point.spent) for point in points]
    ends = [quantity.interval(p.spent) or (value, value) for p, value in zip(points, values, strict=True)]
    below = [value - low for value, (low, _) in zip(values, ends, strict=True)]
    above = [high - value for value, (_, high) in zip(values, ends, strict=True)]
    axes.errorbar([100 * p.share for p in points], values, yerr=[below, above], **style)
