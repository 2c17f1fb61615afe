"""ovpass optimize: from any source to a verified model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.interruption import resumable
from ovpass.cli.options import PATH, TARGET_HELP, json_option, output_option, overwrite_option, quiet_option
from ovpass.cli.output import note, print_json, say, verdict
from ovpass.cli.search_options import kv_option
from ovpass.optimization.generate_script import FILE_NAME as SCRIPT
from ovpass.optimization.kv_cache import describe_chosen
from ovpass.optimization.request import DEFAULT_WEIGHTS, FOLDER, LAYOUTS, Request
from ovpass.optimization.stages import Stage
from ovpass.optimization.tasks import scores_of
from ovpass.planning.summary import needs
from ovpass.serving.server import server_command
from ovpass.support.formatting import counted, number
from ovpass.support.printable import shell_word
from ovpass.support.sizes import format_size
from ovpass.tuning.presets import DEFAULT as DEFAULT_PRESET
from ovpass.tuning.presets import HELP as PRESET_HELP

if TYPE_CHECKING:
    from ovpass.optimization.outline import Outline


@click.command("optimize")
@click.argument("source", type=PATH)
@output_option
@click.option("--target", default="gpu-xmx", show_default=True, help=TARGET_HELP)
@click.option("--max-kl", type=float, help="Largest mean KL divergence, in nats per token.")
@click.option("--max-ppl-increase", type=float, help="Largest increase of perplexity, in percent.")
@click.option("--preset", help=f"{PRESET_HELP}  [default: {DEFAULT_PRESET}]")
@kv_option
@click.option(
    "--max-task-drop",
    type=float,
    help="Largest loss of score on the tasks that come with ovpass, in points of 100.  [default: tasks are not run]",
)
@click.option("--weights", help=f"Compression of floating-point weights.  [default: {DEFAULT_WEIGHTS}]")
@click.option("--memory", metavar="SIZE", help="Memory that the model may take, such as 8GB; it chooses --weights.")
@click.option("--text", type=PATH, help="Text to tune and evaluate on.  [default: a novel]")
@click.option("--windows", type=int, default=2, show_default=True, help="Windows of text to tune on.")
@click.option("--window-tokens", type=int, default=256, show_default=True, help="Tokens per window.")
@click.option("--work", type=PATH, help="Folder of the stages; it is kept.  [default: OUT.stages, removed at the end]")
@click.option("--layout", default=FOLDER, show_default=True, help=f"Layout of OUT: {' or '.join(LAYOUTS)}.")
@click.option("--dry-run", is_flag=True, help="Print the commands of all stages and what they take, and run none.")
@overwrite_option
@json_option
@quiet_option
def command(source: Path, output: Path, dry_run: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Convert, compress, tune, apply, verify and evaluate SOURCE, and write a model that is ready to run to OUT.

    SOURCE is a GGUF or ONNX file, a Hugging Face folder, or an OpenVINO model. A run that was interrupted goes on
    where it was.
    """
    request = Request(source, output, **options)
    if dry_run:
        from ovpass.optimization.outline import outline_of  # noqa: PLC0415 - not needed to print help

        _print_outline(outline_of(request), as_json=as_json)
        return
    from ovpass.optimization.optimize import carry_out  # noqa: PLC0415

    silent = as_json or quiet
    with resumable():
        done = carry_out(request, quiet=quiet, report=lambda *told: None if silent else _tell(*told))
    if as_json:
        print_json({"output": str(done.output), "stages": [_plain(stage) for stage in done.stages], **done.found})
    elif not quiet:
        _conclude(request, done.found)


def _tell(stage: Stage, found: Any) -> None:
    """One line for each stage: what it found, or why it is left out."""
    if stage.left_out is not None:
        say(f"{stage.command}: left out, {stage.left_out}.")
    else:
        attempt = "" if stage.attempt == 1 else f" (attempt {stage.attempt})"
        say(f"{stage.command}{attempt}: {_FOUND[stage.command](found)}.")


def _converted(found: Any) -> str:
    sites = sum(model["sites"] for model in found["models"])
    kept = f"{counted(sites, 'MatMul')} with compressed weights" if sites else "weights in floating point"
    return f"{kept}, from {found['source']}"


def _tuned(found: Any) -> str:
    chosen, held_out = found["chosen"], found["held_out"]
    left_out = f"{counted(chosen['left_out'], 'site')} left out, {100 * chosen['share']:.1f} % of the work quantized"
    cache = describe_chosen(found)
    kept = "" if cache is None else f"; KV cache: {cache}"
    return f"group size {chosen['group_size']}, {left_out}; KL {number(held_out['kl'], 2)} on held-out text{kept}"


def _verified(found: Any) -> str:
    device = f"simulated {found['simulated']}" if found["simulated"] else found["device"]
    right = len(found["sites"]) - len(found["mismatches"])
    return f"{right} of {counted(len(found['sites']), 'site')} as planned on {device}"


def _evaluated(found: Any) -> str:
    (judged,) = found["candidates"]
    scores = scores_of(found)
    tasks = "" if scores is None else f"; tasks {scores[0]:.1f} to {scores[1]:.1f} points"
    return f"perplexity {number(found['reference_perplexity'], 5)} to {number(judged['perplexity'], 5)}{tasks}"


_FOUND: Mapping[str, Callable[[Any], str]] = {
    "convert": _converted,
    "compress": lambda found: f"weights are {found['mode']}",
    "tune": _tuned,
    "apply": lambda found: f"{counted(found['counts']['quantize'], 'site')} quantized",
    "verify": _verified,
    "evaluate": _evaluated,
    "layout": lambda found: f"served as {', '.join(servable['name'] for servable in found['servables'])}",
}


def _print_outline(outline: Outline, *, as_json: bool) -> None:
    stages, estimates = list(outline), outline.estimates()
    whole = outline.estimate()
    if as_json:
        plain = [{**_plain(stage), "condition": stage.condition} for stage in stages]
        print_json({"stages": plain, "estimate": asdict(whole)})
        return
    for stage, one in zip(stages, estimates, strict=True):
        if stage.left_out is not None:
            say(f"# {stage.command}: left out, {stage.left_out}")
        else:
            remarks = [stage.condition, _minutes(one.minutes) if one.minutes >= 1 else None]
            say(f"{stage.line}{''.join(f'  # {remark}' for remark in remarks if remark)}")
    room = f"{format_size(whole.disk)} on disk and {format_size(whole.memory)} of memory"
    say(f"# In all {_minutes(whole.minutes)} on two cores, {room}.")


def _minutes(minutes: float) -> str:
    return "less than a minute" if minutes < 1 else f"about {counted(round(minutes), 'minute')}"


def _plain(stage: Stage) -> dict[str, Any]:
    return {"command": stage.command, "arguments": list(stage.arguments), "left_out": stage.left_out}


def _conclude(request: Request, found: Mapping[str, Any]) -> None:
    """What was done, what it costs, and how to run it."""
    counts = found["apply"]["counts"]
    say(f"{counts['quantize']} of {counted(sum(counts.values()), 'site')} quantized for {request.target}.")
    if found["evaluate"] is not None:
        (judged,) = found["evaluate"]["candidates"]
        low, high = judged["perplexity_delta_interval"] or (None, None)
        interval = "" if low is None else f" ({low:+.2f} to {high:+.2f})"
        say(
            f"Cost on held-out text: KL {number(judged['kl']['mean'], 2)} nats per token, "
            f"perplexity {judged['perplexity_delta_percent']:+.2f} %{interval}."
        )
        if (scores := scores_of(found["evaluate"])) is not None:
            say(f"Score on tasks: {scores[0]:.1f} points before, {scores[1]:.1f} after.")
            if request.max_task_drop is not None and scores[0] <= request.max_task_drop:
                note("the source has no more points than may be lost, so its score limits nothing")
    verdict(f"Written to {request.output}. {_how_to_run(request, found)}", ok=True)


def _how_to_run(request: Request, found: Mapping[str, Any]) -> str:
    if "layout" in found:
        return f"Serve it with: {server_command(request.output, found['layout']['environment'])}"
    script, applied = request.output / SCRIPT, found["apply"]
    if script.is_file():
        return f"Run it with: python {shell_word(script)} PROMPT"
    needed = needs(applied["run_environment"], applied["run_properties"])
    return " ".join(["Any program that runs the source runs it.", *needed])
