"""A tuned plan in a notebook."""

from __future__ import annotations

from ovpass.notebooks import plan
from ovpass.notebooks.panel import Cell, Panel, Table, bounded, render
from ovpass.reporting.formatting import percent, signed_percent
from ovpass.support.formatting import counted, number
from ovpass.tuning.budget import Spent
from ovpass.tuning.kv_tuned import TunedCache
from ovpass.tuning.tuned import Point, Tuned, size_name


def html(tuned: Tuned) -> str:
    """The KV cache if one was chosen, the frontier with the point that was chosen, and its plan."""
    cache = [] if tuned.cache is None else [_cache(tuned.cache)]
    return render([*cache, _frontier(tuned), plan.panel(tuned.plan)])


def _cache(cache: TunedCache) -> Panel:
    labels = ("", "Keys", "Values", "Bytes a token", "KL, nats", "Perplexity")
    rows = [
        (
            Cell("chosen", "quantize") if point == cache.chosen else "" if point.kind.options else "emulated",
            str(point.kind.key),
            str(point.kind.value),
            f"{point.kind.bytes_per_token:.0f}",
            bounded(number(point.spent.kl, 2), point.spent.kl_interval),
            bounded(signed_percent(point.spent.perplexity_percent), point.spent.perplexity_interval, "+.2f"),
        )
        for point in cache.points
    ]
    kind = cache.chosen.kind
    answer = f"{kind}: {kind.bytes_per_token:.0f} bytes a token, {cache.bytes_in_f16:.0f} in f16."
    return Panel("KV cache", answer, "on", (Table(labels, rows, numeric=labels[3:]),))


def _frontier(tuned: Tuned) -> Panel:
    labels = ("", "Group", "Left out", "Work", "KL, nats", "Perplexity")
    points = sorted({*tuned.frontier, tuned.point}, key=lambda point: point.spent.kl)
    rows = [
        *(_row("chosen" if point == tuned.point else "", point, point.spent) for point in points),
        _row("held out", tuned.point, tuned.held_out),
    ]
    within = "Within budget" if tuned.holds else "Not shown to be within budget"
    return Panel(
        "Tuned within an accuracy budget",
        f"{within} on held-out text: {percent(tuned.point.share)} of the work quantized, "
        f"{counted(len(tuned.left_out), 'site')} left out.",
        "on" if tuned.holds else "differs",
        (Table(labels, rows, numeric=labels[1:]),),
        [] if tuned.finished else ["The time was up before the search was done; the same call goes on from here."],
    )


def _row(name: str, point: Point, spent: Spent) -> tuple[object, ...]:
    return (
        Cell(name, "quantize" if name else ""),
        size_name(point.group_size),
        point.left_out,
        percent(point.share),
        bounded(number(spent.kl, 2), spent.kl_interval),
        bounded(signed_percent(spent.perplexity_percent), spent.perplexity_interval, "+.2f"),
    )
