"""ovpass evaluate: what a setting costs in accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ovpass.cli.options import evaluation_from, evaluation_options, json_option
from ovpass.cli.output import print_json, print_table, progress
from ovpass.evaluation.arrays import ArraysReport
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.report import report_to_dict
from ovpass.evaluation.summary import Estimate, TextSummary
from ovpass.evaluation.text import Judged, TextReport

_COLUMNS = ("", "PPL", "%", "KL", "median", "trim", "p99", "max", "Top-1")
_LEGEND = """PPL: perplexity; KL in nats a token: mean, median,
mean without the largest 1 %, 99th percentile, maximum; Top-1 in percent.
95 % intervals, by bootstrap over windows:"""


@click.command("evaluate")
@click.argument("reference")
@click.argument("candidates", nargs=-1, metavar="CANDIDATE...")
@evaluation_options
@click.option("--inputs", multiple=True, type=click.Path(path_type=Path), help="An .npz of a model's inputs.")
@click.option("--device", default="CPU", help="CPU or GPU.  [default: CPU]")
@json_option
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(reference: str, candidates: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Compare what models answer with a REFERENCE that runs without any quantization of activations.

    A CANDIDATE is a model as it is, or MODEL@setting,setting: MODEL@per-token, MODEL@group_size=64,
    MODEL@group_size=32,profile=cpu, MODEL@exempt=kind:mlp.down, MODEL@plan=plan.yaml. It is emulated in memory, with
    the device's own rules and arithmetic. Settings in capitals are properties for compile_model.
    """
    evaluation = evaluation_from(options)
    with progress(quiet=quiet or as_json) as step:
        report = evaluate(reference, candidates, evaluation, step)
    if as_json:
        print_json(report_to_dict(report))
    elif not quiet:
        _print(report)


def _print(report: TextReport | ArraysReport) -> None:
    if isinstance(report, ArraysReport):
        _print_arrays(report)
    else:
        _print_text(report)
    click.echo(f"Reference: {report.reference}, run with {report.how}.")
    runs = [(judged.model, judged.how) for judged in report.candidates]
    for number, (model, how) in enumerate(runs, start=1):
        click.echo(f"{number}: {model}: {how}.")


def _print_text(report: TextReport) -> None:
    rows: list[tuple[object, ...]] = [("reference", f"{report.perplexity:.3f}", *[None] * 7)]
    for number, judged in enumerate(report.candidates, start=1):
        rows += [_row(str(number), judged.total), *_parts(judged)]
    print_table(_COLUMNS, rows, numeric=_COLUMNS[1:])
    sizes = report.candidates[0].total
    click.echo(f"{sizes.windows} windows, {sizes.tokens} tokens. {_LEGEND}")
    for number, judged in enumerate(report.candidates, start=1):
        click.echo(f"{number}: {_intervals(judged.total)}")


def _parts(judged: Judged) -> list[tuple[object, ...]]:
    """The two costs apart, where there are two."""
    if judged.weights is None:
        return []
    activations = [] if judged.activations is None else [_row(" activ.", judged.activations)]
    return [_row(" weights", judged.weights), *activations]


def _row(name: str, summary: TextSummary) -> tuple[object, ...]:
    kl = summary.kl
    return (
        name,
        f"{summary.perplexity:.3f}",
        f"{summary.delta_percent.value:+.2f}",
        *(f"{value:.2g}" for value in (kl.mean.value, kl.median.value, kl.trimmed, kl.p99, kl.maximum)),
        f"{summary.top1.value:.1f}",
    )


def _intervals(summary: TextSummary) -> str:
    return (
        f"perplexity {_interval(summary.delta_percent, '+.2f')} %, KL mean {_interval(summary.kl.mean, '.2g')}, "
        f"median {_interval(summary.kl.median, '.2g')}, top-1 {_interval(summary.top1, '.1f')} %"
    )


def _interval(estimate: Estimate, form: str) -> str:
    if estimate.interval is None:
        return "unknown (one window)"
    low, high = estimate.interval
    return f"{low:{form}} to {high:{form}}"


def _print_arrays(report: ArraysReport) -> None:
    columns = ("Candidate", "Output", "1 - cosine", "Relative error", "Largest difference")
    rows = [
        (
            number,
            output.name,
            f"{1 - output.cosine.value:.3g}",
            f"{output.relative_error.value:.3g}",
            f"{output.maximum:.3g}",
        )
        for number, judged in enumerate(report.candidates, start=1)
        for output in judged.outputs
    ]
    print_table(columns, rows, numeric=columns[2:])
