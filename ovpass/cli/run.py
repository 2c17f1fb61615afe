"""ovpass run: generate text with a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from ovpass.cli.options import json_option, model_argument, quiet_option
from ovpass.cli.output import print_json, progress, say


@click.command("run")
@model_argument
@click.argument("prompt")
@click.option("--device", default="CPU", show_default=True, help="Device of OpenVINO: CPU or GPU.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1), default=100, show_default=True, help="The most tokens to generate."
)
@json_option
@quiet_option
def command(model: Path, prompt: str, device: str, max_new_tokens: int, as_json: bool, quiet: bool) -> None:
    """Generate text from PROMPT with OpenVINO GenAI. MODEL is a folder, with the kernels of apply or without them."""
    from ovpass.kernels.generation import generate  # noqa: PLC0415 - brings OpenVINO along

    with progress(quiet=quiet or as_json) as step:
        step("loading")
        done = generate(model, prompt, device, max_new_tokens)
    if as_json:
        print_json(done.to_dict())
    else:
        say(done.text)
