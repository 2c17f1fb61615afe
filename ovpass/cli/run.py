"""ovpass run: generate text with a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from ovpass.cli.options import json_option, model_argument, quiet_option
from ovpass.cli.output import print_json, progress, say
from ovpass.errors import SettingsError


@click.command("run")
@model_argument
@click.argument("prompt")
@click.option("--device", default="CPU", show_default=True, help="Device of OpenVINO: CPU or GPU.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1), default=100, show_default=True, help="The most tokens to generate."
)
@click.option("--tune-kernels", is_flag=True, help="Measure the kernels on this CPU first, and keep the fastest.")
@json_option
@quiet_option
def command(
    model: Path, prompt: str, device: str, max_new_tokens: int, tune_kernels: bool, as_json: bool, quiet: bool
) -> None:
    """Generate text from PROMPT with OpenVINO GenAI. MODEL is a folder, with the kernels of apply or without them."""
    from ovpass.kernels.generation import generate  # noqa: PLC0415 - brings OpenVINO along

    if tune_kernels and device != "CPU":
        raise SettingsError("--tune-kernels: is for device CPU")
    with progress(quiet=quiet or as_json) as step:
        if tune_kernels:
            from ovpass.kernels.tuner import tune  # noqa: PLC0415 - brings OpenVINO along

            tune(model, step)
        step("loading")
        done = generate(model, prompt, device, max_new_tokens)
    if as_json:
        print_json(done.to_dict())
    else:
        say(done.text)
