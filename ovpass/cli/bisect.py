"""ovpass bisect: find the sites that break a model."""

from __future__ import annotations

from functools import partial
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
    settings_options,
    verbosity,
)
from ovpass.cli.output import note, print_json, print_table, progress, say, verdict
from ovpass.cli.search_options import by_option, experiment_from, search_options
from ovpass.settings.settings import settings_to_dict
from ovpass.support.formatting import counted, number
from ovpass.support.printable import shell_word
from ovpass.targets.group_sizes import format_group_size
from ovpass.transformation.destination import check_files, check_plan_file
from ovpass.tuning.units import FIND

if TYPE_CHECKING:
    from ovpass.tuning.bisect import BisectResult

_WIDTH = 1000  # a name is never broken


@click.command("bisect", cls=GroupedCommand)
@model_argument
@partial(settings_options, lowering="[default: emulated]")
@search_options
@click.option("--max-kl", type=float, metavar="X", help="Broken: mean KL divergence above X nats per token.")
@click.option("--check", metavar="CMD", help="Broken: this command fails on {model}. Exit code 125: cannot test.")
@click.option("--find", default="first", help=f"Result: {', '.join(FIND)}.  [default: first]")
@by_option
@click.option("-o", "--output", type=PATH, help="Write a plan that exempts the sites found.")
@overwrite_option
@json_option
@partial(verbosity, verbose="Show the output of CMD.")
def command(
    model: Path,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Find the first site, or the smallest set of sites, whose quantization breaks MODEL.

    The shell runs CMD on a model with some sites quantized. The model's path replaces {model}, or follows CMD.
    Exit code 0 means good, 125 means cannot test, any other means broken. The model emulates the device of
    --profile. With --lowering native it uses the plugin's own quantization.
    """
    from ovpass.tuning.bisect import Question, find_breaking, plan_without  # noqa: PLC0415 - not needed to print help

    check_files([output], [model, *files_read(options)])
    check_plan_file(output, overwrite=overwrite)
    question = Question(
        find=options["find"],
        by=options["by"],
        max_kl=options["max_kl"],
        check=options["check"],
        native=options["lowering"] == "native",
        output=(lambda text: click.echo(text, err=True, nl=False)) if verbose and not quiet else lambda _: None,
    )
    with resumable(kept=question.max_kl is not None), progress(quiet=quiet) as step:
        experiment = experiment_from(model, options, step)
        result = find_breaking(experiment, question)
    if as_json:
        print_json(result.to_dict())
    elif not quiet:
        _print(result)
    if output is not None:  # last: what took long to find is not lost where it cannot be planned
        plan_without(experiment, result).save(output)


def _print(result: BisectResult) -> None:
    if result.broken:
        _print_found(result)
    else:
        verdict(f"Not broken with all sites quantized{_cost(result)}.", ok=True)
    if result.whole is not None:
        note(f"every measurement ran the whole model: {result.whole}")
    if result.skipped:
        note(f"{counted(len(result.skipped), 'site')} stayed unquantized: {next(iter(result.skipped.values()))}")


def _print_found(result: BisectResult) -> None:
    rows = [
        (
            entry.unit.name,
            entry.unit.kind,
            entry.unit.layer,
            format_group_size(entry.group_size),
            len(entry.unit.members),
        )
        for entry in result.found
    ]
    print_table(("Found", "Kind", "Layer", "Group", "Sites"), rows, numeric=("Layer", "Group", "Sites"))
    if result.costs is not None and result.together is not None:
        alone, together = (number(cost.mean, 2) for cost in (result.costs, result.together))
        say(f"Quantized alone: KL {alone} nats per token; all sites together: {together}.")
    how = "not broken" if result.mended else "still broken; search again with these options"
    verdict(f"All other sites quantized: {how}. {counted(result.asked, 'test')} run.", ok=bool(result.mended))
    for rule in result.rules:
        click.echo(f"--exempt {shell_word(rule.match)}")
    click.echo(_rules_text(result), nl=False)


def _rules_text(result: BisectResult) -> str:
    """The rules that keep out what was found, as settings in YAML."""
    import yaml  # noqa: PLC0415 - not needed to print help

    rules = [settings_to_dict(rule) for rule in result.rules]
    return yaml.safe_dump({"rules": rules}, sort_keys=False, width=_WIDTH)


def _cost(result: BisectResult) -> str:
    return "" if result.together is None else f": KL {number(result.together.mean, 2)} nats per token"
