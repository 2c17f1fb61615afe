"""ovpass plan: show the decision for every site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ovpass.cli.grouped_help import GroupedCommand
from ovpass.cli.options import (
    PATH,
    files_read,
    json_option,
    model_argument,
    overwrite_option,
    settings_from,
    settings_options,
    verbosity,
)
from ovpass.cli.output import note, print_decisions, print_json, print_title, progress, say, verdict
from ovpass.ir.files import open_source
from ovpass.planning.json_report import plans_to_dict
from ovpass.planning.plan import Plan, save_plans
from ovpass.planning.summary import conditions_of, verdict_of
from ovpass.transformation.destination import check_files, check_plan_file
from ovpass.transformation.loading import load, plan_loaded


@click.command("plan", cls=GroupedCommand)
@model_argument
@settings_options
@click.option("-o", "--output", type=PATH, help="Write the plan to this YAML file.")
@overwrite_option
@json_option
@verbosity
def command(
    model: Path, output: Path | None, overwrite: bool, as_json: bool, quiet: bool, verbose: bool, **options: Any
) -> None:
    """Show the decision for every site of MODEL, with its reason. MODEL does not change."""
    check_files([output], [model, *files_read(options)])
    check_plan_file(output, overwrite=overwrite)
    settings = settings_from(options)
    with progress(quiet=quiet) as step:
        step("reading")
        plans = plan_loaded(load(open_source(model)), settings)
    if output is not None:
        save_plans(plans, output)
    if as_json:
        print_json(plans_to_dict(plans))
    elif not quiet:
        print_plans(plans, verbose=verbose)


def print_plans(plans: Mapping[str, Plan], *, verbose: bool) -> None:
    """The plans as tables, and what the model has to be run with."""
    for key, plan in plans.items():
        if key:
            print_title(key)
        print_decisions(plan.decisions, verbose=verbose)
        verdict(verdict_of(plan))
        for text in plan.notes:
            note(text)
        for text in conditions_of(plan):
            say(text)
