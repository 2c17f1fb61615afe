"""ovpass bench: benchmark latency, throughput and memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.benchmark.messages import LATENCY, THROUGHPUT, TPOT, TTFT
from ovpass.benchmark.subjects import parse_subject
from ovpass.benchmark.workload import Workload
from ovpass.cli.options import MODEL_TEXT, PATH, files_read, json_option, parse_properties, verbosity
from ovpass.cli.output import note, print_json, print_table, progress, say, verdict
from ovpass.errors import SettingsError
from ovpass.support.formatting import counted
from ovpass.targets.runtime_options import CACHE_OPTIONS, OPTIONS
from ovpass.transformation.destination import check_files

if TYPE_CHECKING:
    from ovpass.benchmark.result import Outcome, Result, Series

_TITLES = {TTFT: "TTFT ms", TPOT: "TPOT ms", LATENCY: "Latency ms", THROUGHPUT: "Inf/s"}
_SHOWN = (
    "INFERENCE_PRECISION_HINT",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE",
    *CACHE_OPTIONS,
    "PERFORMANCE_HINT",
    "NUM_STREAMS",
    "INFERENCE_NUM_THREADS",
)
"""Of the properties in force, those that explain a difference; --verbose and --json have all."""


@click.command("bench")
@click.argument("models", nargs=-1, required=True, type=MODEL_TEXT, metavar="MODEL[@SIZE,K=V]...")
@click.option("--device", default="CPU", callback=lambda *args: args[-1].upper(), help="Device.  [default: CPU]")
@click.option("--property", "properties", multiple=True, metavar="K=V", help="Compile property (repeatable).")
@click.option("--prompt-tokens", help="Prompt lengths.  [default: 32,64,65,128,512,1024]")
@click.option("--output-tokens", default=32, show_default=True, help="Tokens to generate.")
@click.option("--prompt-lookup", is_flag=True, help="Decode with prompt lookup.")
@click.option("--text", type=PATH, help="Cut prompts from this file.  [default: random tokens]")
@click.option("--inputs", type=PATH, help="Inputs (.npz) for a model that does not generate.")
@click.option("--repeats", default=5, show_default=True, help="Measured rounds.")
@click.option("--warm-up", default=1, show_default=True, help="Warm-up rounds.")
@click.option("--seed", default=0, show_default=True, help="Random seed of prompts and model order.")
@click.option("--timeout", default=900.0, show_default=True, help="Time limit per model, in seconds.")
@click.option("--plot", type=PATH, help="Plot times against lengths to this .png, .svg or .pdf.")
@json_option
@partial(verbosity, verbose="List every effective property.")
def command(
    models: tuple[str, ...],
    properties: tuple[str, ...],
    prompt_tokens: str | None,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Benchmark each MODEL, interleaved, and compare with the first.

    OpenVINO GenAI runs language model folders: time to first token (TTFT) and time per output token (TPOT).
    Other models run directly: latency, and throughput with the device's optimal number of requests.
    """
    from ovpass.benchmark.plot import check_plot, save_plot  # noqa: PLC0415 - not needed to print help
    from ovpass.benchmark.result import result_to_dict  # noqa: PLC0415
    from ovpass.benchmark.run import run_benchmark  # noqa: PLC0415

    workload = Workload(lengths=_lengths(prompt_tokens), **options)
    if plot is not None:
        check_plot(plot, workload)
    common = parse_properties(properties)
    subjects = [parse_subject(text, workload.device, common) for text in models]
    check_files([plot], [*(subject.path for subject in subjects), *files_read(options)])
    with progress(quiet=quiet) as step:
        result = run_benchmark(subjects, workload, step)
    if as_json:
        print_json(result_to_dict(result))
    elif not quiet:
        print_result(result, verbose=verbose)
    if plot is not None:
        save_plot(result, plot)  # last: a full disk must not cost the numbers


def _lengths(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--prompt-tokens {text!r}: write numbers with commas between: 32,64,65") from None


def print_result(result: Result, *, verbose: bool) -> None:
    """The machine, the models, and the measurements."""
    first, workload = result.outcomes[0].loaded, result.workload
    say(f"{workload.device}: {first.device_name}, {result.cpus} CPUs")
    for name, version in first.versions.items():
        say(f"{name} {version}")
    _print_models(result, verbose=verbose)
    _print_cells(result)
    tokens = f"; {counted(workload.output_tokens, 'new token')}" if result.generates else ""
    verdict(f"Medians of {counted(workload.repeats, 'round')}, after {workload.warm_up} to warm up{tokens}.")


def _print_cells(result: Result) -> None:
    compared = len(result.outcomes) > 1
    columns = ["Tokens", "Model"]
    for metric in result.cells[0].series:
        columns += [_TITLES[metric], "to #1 (95 %)"] if compared else [_TITLES[metric]]
    rows: list[list[object]] = []
    for cell in result.cells:
        row: list[object] = [cell.tokens, f"#{cell.subject + 1}"]
        for series in cell.series.values():
            row += [_significant(series.median), _ratio(series)] if compared else [_significant(series.median)]
        rows.append(row)
    print_table(columns, rows, numeric=("Tokens", *_TITLES.values()))


def _significant(number: float) -> str:
    """Three digits, or all that are before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _print_models(result: Result, *, verbose: bool) -> None:
    loads = [
        (
            f"#{number}",
            o.subject.title,
            f"{o.loaded.seconds:.2f}",
            f"{o.loaded.megabytes:.0f}",
            f"{o.peak_megabytes:.0f}",
        )
        for number, o in enumerate(result.outcomes, 1)
    ]
    columns = ("", "Model", "Load s", "Load MB", "Peak MB")
    print_table(columns, loads, numeric=columns[2:])
    names = sorted({name for o in result.outcomes for name in o.loaded.effective}) if verbose else _SHOWN
    rows = [(name, *_effective(name, result)) for name in names if verbose or _tells(name, result)]
    print_table(("In force", *(f"#{number}" for number in range(1, len(result.outcomes) + 1))), rows)
    for number, outcome in enumerate(result.outcomes, 1):
        for text in _notes(outcome):
            note(f"#{number}: {text}")


def _effective(name: str, result: Result) -> list[str | None]:
    return [outcome.loaded.effective.get(name) for outcome in result.outcomes]


def _tells(name: str, result: Result) -> bool:
    """Whether a property tells more than the one above it, as the precision of keys does than that of the cache."""
    parent = OPTIONS[name].parent if name in OPTIONS else None
    usual = _effective(parent, result) if parent else ["0"] * len(result.outcomes)
    found = _effective(name, result)
    return name not in CACHE_OPTIONS or (any(found) and found != usual)


def _notes(outcome: Outcome) -> list[str]:
    notes = [f"run with the environment variable {k}={v}" for k, v in outcome.subject.environment.items()]
    if outcome.loaded.requests > 1:
        notes.append(f"throughput is measured with {outcome.loaded.requests} parallel requests")
    return notes


def _ratio(series: Series) -> str | None:
    if series.ratio is None:
        return None
    interval = series.ratio.interval
    return f"{series.ratio.value:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")
