"""ovpass explain: show the effective group size of each device."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

from ovpass.cli.options import json_option, model_argument, parse_properties, verbosity
from ovpass.cli.output import print_json, print_table, print_title, progress, say
from ovpass.ir.files import open_source
from ovpass.planning.explain import Explanation, explain, targets_of
from ovpass.planning.json_report import explanation_to_dict
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import format_group_size
from ovpass.targets.runtime_options import show_value
from ovpass.transformation.loading import load


@click.command("explain")
@model_argument
@click.option("--device", help="CPU, GPU, or a target's name.  [default: all targets]")
@click.option("--property", "properties", multiple=True, metavar="K=V", help="Compile property (repeatable).")
@json_option
@partial(verbosity, verbose="Show every runtime option.")
def command(
    model: Path, device: str | None, properties: tuple[str, ...], as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Show the effective group size of each device for MODEL with these properties, and its source.

    Other runtime options appear if something sets them; --verbose shows all. Current environment variables count.
    """
    given = parse_properties(properties)
    targets = targets_of(device)
    with progress(quiet=quiet) as step:
        step("reading")
        models = load(open_source(model))
        found = [
            (loaded.key, explain(loaded.document.metadata, loaded.sites, target, given, os.environ))
            for loaded in models
            for target in targets
        ]
    if as_json:
        print_json({"model": str(model), "devices": [explanation_to_dict(key, item) for key, item in found]})
    elif not quiet:
        for key, item in found:
            _print(key, item, verbose=verbose)


def _print(key: str, item: Explanation, *, verbose: bool) -> None:
    size = format_group_size(item.group_size)
    print_title(f"{item.title} ({item.target}){f', {key}' if key else ''}: group size {size} from {item.source}")
    for step in item.steps:
        say(f"  {step}")
    above = f"above {counted(item.threshold, 'token')}" if item.threshold else "for any number of tokens"
    say(f"  quantizes {above}{f'; keeps {item.cache}' if item.cache else ''}")
    for option in item.options:
        if verbose or option.steps or not option.default:
            say(f"{option.name}: {show_value(option.value)} from {option.source}")
            for step in option.steps:
                say(f"  {step}")
    rows = [(o.count, format_group_size(o.group_size), o.reason) for o in item.outcomes]
    print_table(("Sites", "Group", "Reason"), rows, numeric=("Sites", "Group"))
