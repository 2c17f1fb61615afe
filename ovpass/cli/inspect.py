"""ovpass inspect: list the sites of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from ovpass.cli.options import TARGET_HELP, json_option, model_argument, verbosity
from ovpass.cli.output import note, print_json, print_table, print_title, progress, verdict
from ovpass.ir.files import open_source
from ovpass.planning.plan import describe_weights
from ovpass.sites import CompressedMatMul, kind_order
from ovpass.support.formatting import counted
from ovpass.targets import Verdict
from ovpass.targets.group_sizes import format_group_size, parse_group_size
from ovpass.targets.names import find_name, get_target
from ovpass.transformation.inspection import Inspected, inspect_source
from ovpass.transformation.json_report import inspection_to_dict


@click.command("inspect")
@model_argument
@click.option("--target", default="gpu-xmx", show_default=True, help=TARGET_HELP)
@click.option("--group-size", help="Use this group size instead of the model's.")
@click.option("--match", help="Show only sites that match this pattern.")
@json_option
@verbosity
def command(
    model: Path,
    target: str,
    group_size: str | None,
    match: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """List the MatMuls of MODEL with compressed weights, and which of them the target quantizes."""
    target = find_name(target).name
    asked = None if group_size is None else parse_group_size(group_size)
    with progress(quiet=quiet) as step:
        step("reading")
        found = inspect_source(open_source(model), target, asked, match)
    if as_json:
        print_json(inspection_to_dict(model, target, found))
    elif not quiet:
        _print(found, target, verbose)


def _print(found: Sequence[Inspected], target: str, verbose: bool) -> None:
    for item in found:
        if item.key:
            print_title(item.key)
        (_print_sites if verbose else _print_kinds)(item)
    judged = [entry for item in found for _, entry in item.entries]
    activations = len({(item.key, site.group_id) for item in found for site, _ in item.entries})
    who = f"{target}, computing in f32," if get_target(target).compute == "f32" else target
    verdict(
        f"{who} quantizes {sum(entry.eligible for entry in judged)} of {counted(len(judged), 'site')} "
        f"({counted(activations, 'distinct activation')}), group size "
        f"{format_group_size(found[0].group_size)}."
    )


def _print_sites(item: Inspected) -> None:
    rows = [
        (s.name, s.kind, s.layer, describe_weights(s), format_group_size(v.group_size), _why(item, s, v))
        for s, v in item.entries
    ]
    print_table(("Site", "Kind", "Layer", "Weights", "Group", "Reason"), rows, numeric=("Layer", "Group"))


def _print_kinds(item: Inspected) -> None:
    alike = Counter((s.kind, describe_weights(s), format_group_size(v.group_size), v.reason) for s, v in item.entries)
    ordered = sorted(alike.items(), key=lambda entry: kind_order(entry[0][0]))
    rows = [(count, *key) for key, count in ordered]
    print_table(("Sites", "Kind", "Weights (N x K)", "Group", "Reason"), rows, numeric=("Sites", "Group"))
    for asked, count in Counter(item.asked.values()).items():
        note(f"{counted(count, 'site')}: the source file requests {asked}")


def _why(item: Inspected, site: CompressedMatMul, judged: Verdict) -> str:
    asked = item.asked.get(site.name)
    return judged.reason if asked is None else f"{judged.reason}; the source file requests {asked}"
