"""ovpass expand: M-ANT weights as 8-bit integers."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ovpass.cli.options import json_option, model_argument, output_option, overwrite_option, quiet_option
from ovpass.cli.output import print_json, print_table, progress, verdict


@click.command("expand")
@model_argument
@output_option
@overwrite_option
@json_option
@quiet_option
def command(model: Path, output: Path, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Write MODEL to OUT with its M-ANT weights as 8-bit integers in groups.

    Plugins keep such weights compressed, and quantize their activations. Store the smaller model, and expand it where
    it runs.
    """
    from ovpass.compression.expand import expand_source  # noqa: PLC0415 - not needed to print help

    started = time.perf_counter()
    with progress(quiet=quiet) as step:
        done = expand_source(model, output, overwrite=overwrite, progress=step)
    seconds = time.perf_counter() - started
    if as_json:
        print_json({**done.to_dict(), "seconds": round(seconds, 3)})
    elif not quiet:
        columns = ("Model", "Sites", "Groups exact %", "Relative error", "MB before", "MB after")
        rows = [
            (
                each.key or model.name,
                each.sites,
                f"{100 * each.exact:.1f}",
                f"{each.error:.4f}",
                f"{each.bytes_before / 1e6:.1f}",
                f"{each.bytes_after / 1e6:.1f}",
            )
            for each in done.models
        ]
        print_table(columns, rows, numeric=columns[1:])
        verdict(f"Written to {done.output} in {seconds:.2f} s.")
