"""ovpass strip: undo apply."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ovpass.cli.apply import print_transformed
from ovpass.cli.options import (
    copy_option,
    json_option,
    model_argument,
    output_option,
    overwrite_option,
    quiet_option,
)
from ovpass.cli.output import print_json, progress
from ovpass.transformation.json_report import transformed_to_dict
from ovpass.transformation.transform import strip_source


@click.command("strip")
@model_argument
@output_option
@overwrite_option
@copy_option
@json_option
@quiet_option
def command(model: Path, output: Path, overwrite: bool, copy_weights: bool, as_json: bool, quiet: bool) -> None:
    """Undo apply: write MODEL to OUT without ovpass's changes. OUT computes what the original does, bit for bit."""
    started = time.perf_counter()
    with progress(quiet=quiet) as step:
        done = strip_source(model, output, overwrite=overwrite, copy_weights=copy_weights, progress=step)
    seconds = time.perf_counter() - started
    if as_json:
        print_json({**transformed_to_dict(done), "seconds": round(seconds, 3)})
    elif not quiet:
        print_transformed(done, seconds)
