"""ovpass plan: show the decision for every site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

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
from ovpass.planning.defaults import cache_of, threshold_of
from ovpass.planning.json_report import plans_to_dict
from ovpass.planning.plan import QUANTIZE, Plan, save_plans
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import OFF, format_group_size
from ovpass.transformation.destination import check_files, check_plan_file
from ovpass.transformation.loading import load, plan_loaded


@click.command("plan")
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


def _group_sizes(plan: Plan) -> str:
    """What the plugin is asked for, and what sites get of it."""
    asked = format_group_size(plan.model_group_size)
    effective = Counter(format_group_size(decision.group_size) for decision in plan.chosen(QUANTIZE))
    if plan.model_group_size == OFF or effective.keys() <= {asked}:
        return f"the model's own group size: {asked}"
    found = ", ".join(f"{size} at {counted(count, 'site')}" for size, count in effective.most_common())
    return f"group size {asked} requested, effective {found}"


def print_plans(plans: Mapping[str, Plan], *, verbose: bool) -> None:
    """The plans as tables, and what the model has to be run with."""
    for key, plan in plans.items():
        if key:
            print_title(key)
        print_decisions(plan.decisions, verbose=verbose)
        counts = plan.counts()
        replaced = f"{counted(counts['replace'], 'site')} replaced by a kernel, " if "replace" in counts else ""
        verdict(
            f"{replaced}{counted(counts['quantize'], 'site')} quantized, {counts['exempt']} exempt, "
            f"{counts['skip']} skipped; {_group_sizes(plan)}."
        )
        if counts[QUANTIZE]:
            above = threshold_of(plan.settings)
            tokens = f"above {counted(above, 'token')}" if above else "for any number of tokens"
            say(f"{plan.settings.target} quantizes {tokens}, and a KV cache has {cache_of(plan.settings)}.")
        for text in plan.notes:
            note(text)
        for name, value in plan.run_environment.items():
            say(f"Run with the environment variable {name}={value}.")
        for name, value in plan.run_properties.items():
            say(f"Compile with the property {name}={value}.")
