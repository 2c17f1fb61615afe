"""ovpass tune: find the fastest plan within an accuracy budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.grouped_help import GroupedCommand
from ovpass.cli.interruption import resumable
from ovpass.cli.options import (
    PATH,
    files_read,
    json_option,
    model_argument,
    overwrite_option,
    quiet_option,
    settings_options,
)
from ovpass.cli.output import note, print_json, print_table, progress, say, verdict
from ovpass.cli.search_options import experiment_from, kv_option, search_options
from ovpass.errors import SettingsError
from ovpass.planning.plan import save_plans
from ovpass.support.formatting import counted, number
from ovpass.support.plotting import check_picture
from ovpass.support.printable import shell_word
from ovpass.transformation.destination import check_files, check_plan_file
from ovpass.tuning.presets import HELP as PRESET_HELP
from ovpass.tuning.presets import limits_of

if TYPE_CHECKING:
    from ovpass.evaluation.summary import Interval
    from ovpass.tuning.budget import Budget, Spent
    from ovpass.tuning.kv_tuned import TunedCache
    from ovpass.tuning.tuned import Tuned

_SHOWN_LAYERS = 4


@click.command("tune", cls=GroupedCommand)
@model_argument
@click.option("--max-kl", type=float, help="Largest mean KL divergence, in nats per token.")
@click.option("--max-ppl-increase", type=float, help="Largest increase of perplexity, in percent.")
@click.option("--preset", help=PRESET_HELP)
@kv_option
@settings_options
@search_options
@click.option("--exact", is_flag=True, help="Rank sites on all windows instead of a short one.")
@click.option("--minutes", type=float, help="Time for the search; it ends with the best plan so far.")
@click.option("-o", "--output", type=PATH, help="Write the plan to this YAML file.")
@click.option("--plot", type=PATH, help="Plot the frontier of accuracy against work; implies --frontier.")
@click.option("--frontier", is_flag=True, help="Measure plans far from the budget, too, for reports to choose from.")
@overwrite_option
@json_option
@quiet_option
def command(
    model: Path,
    output: Path | None,
    overwrite: bool,
    plot: Path | None,
    exact: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Find the plan for MODEL that quantizes the most work within an accuracy budget.

    The plan keeps the budget to the upper bound of its interval, on the text of the search and on held-out text.
    """
    from ovpass.tuning.budget import Budget  # noqa: PLC0415 - not needed to print help
    from ovpass.tuning.frontier import save_frontier  # noqa: PLC0415
    from ovpass.tuning.kv_cache import tune_with_cache  # noqa: PLC0415
    from ovpass.tuning.tune import tune  # noqa: PLC0415

    check_files([output, plot], [model, *files_read(options)])
    check_plan_file(output, overwrite=overwrite)
    if plot is not None:
        check_picture(plot)
    budget = Budget(*limits_of(options["preset"], options["max_kl"], options["max_ppl_increase"]))
    if options["group_size"] is not None:
        raise SettingsError("--group-size: tune chooses it; 'ovpass sensitivity' takes one")
    with resumable(), progress(quiet=quiet) as step:
        experiment = experiment_from(model, options, step)
        how = {"exact": exact, "minutes": options["minutes"], "frontier": options["frontier"] or plot is not None}
        kv = options["kv"]
        tuned = tune(experiment, budget, **how) if kv is None else tune_with_cache(experiment, budget, kv, **how)
    if output is not None:
        save_plans({"": tuned.plan}, output)
    if plot is not None:
        save_frontier(tuned, budget, plot)
    if as_json:
        from ovpass.tuning.report import tuned_to_dict  # noqa: PLC0415

        print_json(tuned_to_dict(tuned))
    elif not quiet:
        _print(tuned, budget, output)


def _print(tuned: Tuned, budget: Budget, output: Path | None) -> None:
    from ovpass.tuning.tuned import size_name  # noqa: PLC0415

    columns = ("", "Group", "Left out", "Work %", "KL nats", "Perplexity %")
    if tuned.cache is not None:
        _print_cache(tuned.cache, budget)
    rows = [
        (
            "chosen" if point == tuned.point else "",
            size_name(point.group_size),
            point.left_out,
            f"{100 * point.share:.1f}",
            _kl(point.spent, bounded=budget.max_kl is not None),
            _perplexity(point.spent, bounded=budget.max_perplexity_percent is not None),
        )
        for point in sorted({*tuned.frontier, tuned.point}, key=lambda point: point.spent.kl)
    ]
    print_table(columns, rows, numeric=columns[1:])
    counts, held = tuned.plan.counts(), tuned.held_out
    say(
        f"{counted(counts['quantize'], 'site')} quantized, {counts['exempt']} exempt, {counts['skip']} skipped: "
        f"{100 * tuned.point.share:.1f} % of the work."
    )
    if not counts["quantize"]:
        verdict("Nothing can be quantized within this budget.", ok=False)
        if tuned.cache is None:
            return
    if tuned.for_held_out:
        note(f"{counted(tuned.for_held_out, 'site is', 'sites are')} exempt only to keep the budget on held-out text")
    if not tuned.finished:
        note("the time was up before the search was done; with more, the same command goes on from here")
    divergence = _kl(held, bounded=budget.max_kl is not None)
    change = _perplexity(held, bounded=budget.max_perplexity_percent is not None)
    what = "Held out" if tuned.cache is None else "Held out, with the KV cache"
    say(f"{what}: KL {divergence} nats per token, perplexity {change} %.")
    verdict(f"{'W' if tuned.holds else 'Not shown to be w'}ithin budget on held-out text.", ok=tuned.holds)
    if output is not None:
        click.echo(f"Carry it out with: ovpass apply MODEL -o OUT --plan {shell_word(output)}")


def _print_cache(cache: TunedCache, budget: Budget) -> None:
    columns = ("", "Keys", "Values", "Bytes", "KL nats", "Perplexity %")
    rows = [
        (
            "chosen" if point == cache.chosen else "emulated" if point.kind.options is None else "",
            point.kind.key,
            point.kind.value,
            f"{point.kind.bytes_per_token:.0f}",
            _kl(point.spent, bounded=budget.max_kl is not None),
            _perplexity(point.spent, bounded=budget.max_perplexity_percent is not None),
        )
        for point in cache.points
    ]
    print_table(columns, rows, numeric=columns[3:])
    kind = cache.chosen.kind
    say(f"KV cache: {kind}: {kind.bytes_per_token:.0f} bytes a token, in f16 {cache.bytes_in_f16:.0f}.")
    if cache.losses:
        half = cache.half
        more = len(half) - _SHOWN_LAYERS
        which = ", ".join(map(str, half[:_SHOWN_LAYERS])) + (f", and {more} more" if more > 0 else "")
        say(f"With {cache.looked_at}, half of the loss is in {len(half)} of {len(cache.losses)} caches: {which}.")
    if cache.few:
        note("few layers cause the loss, and plugins have one KV cache setting for all layers")


def _kl(spent: Spent, *, bounded: bool) -> str:
    """The KL divergence, with its interval where a budget bounds it."""
    return _estimate(spent.kl, spent.kl_interval if bounded else None, lambda value: number(value, 2))


def _perplexity(spent: Spent, *, bounded: bool) -> str:
    """The change of perplexity, with its interval where a budget bounds it."""
    interval = spent.perplexity_interval if bounded else None
    return _estimate(spent.perplexity_percent, interval, lambda value: f"{value:+.2f}")


def _estimate(value: float, interval: Interval | None, shown: Callable[[float], str]) -> str:
    return shown(value) if interval is None else f"{shown(value)} [{shown(interval[0])}, {shown(interval[1])}]"
