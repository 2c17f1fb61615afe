"""ovpass convert: convert GGUF, Hugging Face and ONNX models to OpenVINO IR."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.options import MODEL_TEXT, json_option, output_option, overwrite_option, quiet_option
from ovpass.cli.output import note, print_json, print_table, print_title, progress, say, verdict
from ovpass.conversion.source import WEIGHT_FORMATS, Options
from ovpass.sites import kind_order
from ovpass.support.formatting import counted

if TYPE_CHECKING:
    from ovpass.conversion.convert import Converted


@click.command("convert")
@click.argument("source", type=MODEL_TEXT)
@output_option
@click.option("--task", help="Export task.  [Hugging Face; default: from config.json]")
@click.option("--weight-format", help=f"{' or '.join(WEIGHT_FORMATS)}.  [Hugging Face; default: {WEIGHT_FORMATS[0]}]")
@click.option("--exact", is_flag=True, help="Dequantize to f16.  [GGUF]")
@click.option("--integer-zero-points", is_flag=True, help="Round zero points to integers.  [GGUF]")
@click.option(
    "--requantize",
    metavar="TYPE",
    help="Weights that have no integers for devices become i8, u4, or one in groups: i8:64.  [Hugging Face, GGUF]",
)
@click.option("--trust-remote-code", is_flag=True, help="Run Python code from the folder.  [Hugging Face]")
@overwrite_option
@json_option
@quiet_option
def command(source: str, output: Path, overwrite: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Convert SOURCE to an OpenVINO model folder, without network access.

    SOURCE is a .gguf file, a Hugging Face folder (packed checkpoints keep their codes), an .onnx file, or a
    folder with one of these and a tokenizer.
    """
    from ovpass.conversion.convert import convert_source  # noqa: PLC0415 - not needed to print help

    started = time.perf_counter()
    with progress(quiet=quiet) as step:
        done = convert_source(source, output, Options(**options), overwrite=overwrite, progress=step)
    seconds = time.perf_counter() - started
    if as_json:
        from ovpass.conversion.json_report import converted_to_dict  # noqa: PLC0415

        print_json({**converted_to_dict(done), "seconds": round(seconds, 3)})
    elif not quiet:
        _print(done, seconds)


def _print(done: Converted, seconds: float) -> None:
    for model in done.models:
        if len(done.models) > 1:
            print_title(model.key)
        ordered = sorted(model.layers, key=lambda layers: kind_order(layers.kind))
        rows = [(layers.count, layers.kind, layers.weights) for layers in ordered]
        print_table(("Layers", "Kind", "Weights (N x K)"), rows, numeric=("Layers",))
        matmuls = counted(model.sites, "compressed MatMul")
        say(f"{counted(model.ops, 'operation')}, {model.bytes / 1e6:.1f} MB of weights, {matmuls}.")
    say(f"From {done.kind}{f' for {done.task}' if done.task else ''}, with{'' if done.tokenizer else 'out'} tokenizer.")
    for text in (*([str(done.requantized)] if done.requantized else []), *done.notes):
        note(text)
    verdict(f"Written to {done.output} in {seconds:.2f} s.")
