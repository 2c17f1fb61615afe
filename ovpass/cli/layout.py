"""ovpass layout: write a model as OpenVINO Model Server reads it."""

from __future__ import annotations

from pathlib import Path

import click

from ovpass.cli.options import json_option, model_argument, output_option, overwrite_option, quiet_option
from ovpass.cli.output import print_json, progress, say, verdict


@click.command("layout")
@model_argument
@output_option
@click.option("--name", help="Name that clients ask for.  [default: that of MODEL]")
@click.option("--device", help="Device of the server, such as CPU or GPU.1.  [default: that of the plan in MODEL]")
@click.option(
    "--cache-size", type=int, default=0, help="GB for keys and values; 0: as many as requests need.  [default: 0]"
)
@overwrite_option
@json_option
@quiet_option
def command(
    model: Path,
    output: Path,
    name: str | None,
    device: str | None,
    cache_size: int,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Lay MODEL out for OpenVINO Model Server, in the folder OUT.

    OUT has config.json, a folder with a graph for each language model, and NAME/1/model.xml for every other model.
    """
    from ovpass.serving.layout import lay_out  # noqa: PLC0415 - not needed to print help

    with progress(quiet=quiet or as_json) as step:
        step("laying out")
        done = lay_out(model, output, name=name, device=device, cache_size=cache_size, overwrite=overwrite)
    if as_json:
        print_json(done.to_dict())
    elif not quiet:
        for servable in done.servables:
            say(f"{servable.name}: {'generates text' if servable.generates else 'one inference a request'}.")
        verdict(f"Written to {output}. Serve it with: {done.to_dict()['command']}", ok=True)
