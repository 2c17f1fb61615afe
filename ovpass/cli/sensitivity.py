"""ovpass sensitivity: rank sites by accuracy cost."""

from __future__ import annotations

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
    settings_options,
    verbosity,
)
from ovpass.cli.output import note, print_json, print_table, progress, save_json, say, verdict
from ovpass.cli.search_options import by_option, experiment_from, search_options
from ovpass.errors import SettingsError
from ovpass.support.formatting import counted, number
from ovpass.support.plotting import check_picture
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size
from ovpass.transformation.destination import check_files

if TYPE_CHECKING:
    from ovpass.tuning.sensitivity import Sensitivity, SensitivityReport

_SHOWN = 20


@click.command("sensitivity", cls=GroupedCommand)
@model_argument
@settings_options
@search_options
@by_option
@click.option("--fast", is_flag=True, help="Rank on a short window; takes about four evaluations.")
@click.option("--refine", type=int, default=0, help="Measure this many of the costliest exactly.  [with --fast]")
@click.option("-o", "--output", type=PATH, help="Write the ranking to this JSON file.")
@click.option("--plot", type=PATH, help="Plot a heat map: blocks by kinds.")
@json_option
@verbosity
def command(
    model: Path,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Rank the sites of MODEL by the cost of quantizing each alone, and the gain of leaving each out alone."""
    from ovpass.tuning.heatmap import heat_map, save_heat_map  # noqa: PLC0415
    from ovpass.tuning.report import sensitivity_to_dict  # noqa: PLC0415
    from ovpass.tuning.sensitivity import Measure, sensitivity  # noqa: PLC0415

    _refuse_what_changes_nothing(options)
    check_files([output, plot], [model, *files_read(options)])
    if plot is not None:
        check_picture(plot)
    measure = Measure(options["by"], options["fast"], options["refine"])
    with resumable(), progress(quiet=quiet) as step:
        report = sensitivity(experiment_from(model, options, step), measure)
    if output is not None:
        save_json(sensitivity_to_dict(report), output)
    if plot is not None:
        save_heat_map(heat_map(report), plot)
    if as_json:
        print_json(sensitivity_to_dict(report))
    elif not quiet:
        _print(report, verbose=verbose)


def _refuse_what_changes_nothing(options: dict[str, Any]) -> None:
    for flag, given in (
        ("--threshold", options["threshold"] is not None),
        ("--runtime-option", bool(options["runtime_options"])),
    ):
        if given:
            raise SettingsError(f"{flag}: the cost of a site does not depend on it; use it with plan, apply or tune")


def _print(report: SensitivityReport, *, verbose: bool) -> None:
    from ovpass.tuning.heatmap import heat_map, shades  # noqa: PLC0415

    shown = report.ranking if verbose else report.ranking[:_SHOWN]
    columns = ("Site", "Kind", "Layer", "Group", "Costs", "Saves", "Top-1", "Outliers")
    print_table(columns, [_row(entry) for entry in shown], numeric=columns[2:])
    if len(shown) < len(report.ranking):
        say(f"{len(report.ranking) - len(shown)} more; --verbose lists them")
    if report.by == "site":
        cells = heat_map(report)
        rows = [(name, *row) for name, row in zip(cells.rows, shades(cells), strict=True)]
        low, high = (number(cost, 2) for cost in cells.range)
        print_table(("Block", *(kind.partition(".")[2] or kind for kind in cells.columns)), rows, numeric=("Block",))
        say(f"Shades: costs from {low} to {high} nats, logarithmic.")
    say("Costs, saves: KL in nats per token, trimmed; Top-1: lost, in percent of tokens.")
    if any(entry.screened for entry in report.ranking):
        note("costs marked ? are those of --fast: on a short window, or estimated")
    if report.skipped:
        skipped = counted(len(report.skipped), "site was", "sites were")
        note(f"{skipped} not measured: {next(iter(report.skipped.values()))}")
    if report.whole is not None:
        note(f"every measurement ran the whole model: {report.whole}")
    if report.peak_megabytes is not None:
        say(f"Peak memory: {report.peak_megabytes:.0f} MB.")
    cost = report.together
    verdict(
        f"All together: KL {number(cost.mean, 2)} nats per token "
        f"(trimmed {number(cost.trimmed, 2)}, median {number(cost.median, 2)}), "
        f"top-1 lost at {cost.top1_lost:.1f} %; each cost measured on {counted(report.tokens, 'token')}."
    )


def _row(entry: Sensitivity) -> tuple[object, ...]:
    unit, facts = entry.unit, entry.facts
    return (
        unit.name,
        unit.kind,
        unit.layer,
        format_group_size(PER_TOKEN if entry.per_token else entry.group_size),
        number(entry.costs.trimmed, 2) + ("?" if entry.screened else ""),
        None if entry.saves is None else number(entry.saves.trimmed, 2),
        None if entry.costs.top1_lost is None else f"{entry.costs.top1_lost:.1f}",
        None if facts is None else f"{facts.max_over_median:.0f}x",
    )
