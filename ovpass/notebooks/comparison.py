"""An evaluation in a notebook."""

from __future__ import annotations

from ovpass.evaluation.language_model import CandidateResult, TextReport
from ovpass.evaluation.model_outputs import ArraysReport
from ovpass.notebooks.panel import Cell, Panel, Table, bounded, render
from ovpass.reporting.formatting import model_name, signed_percent
from ovpass.support.formatting import counted, number

_INTERVALS = " In small print are 95 % intervals, by bootstrap over windows."


def html(report: TextReport | ArraysReport) -> str:
    """A row for each candidate, with intervals."""
    return render([_texts(report) if isinstance(report, TextReport) else _arrays(report)])


def _texts(report: TextReport) -> Panel:
    labels = ("Candidate", "KL, mean", "median", "99 %", "Perplexity", "Change", "Top-1 agreement")
    sizes = report.candidates[0].total
    return Panel(
        f"Compared on {counted(sizes.windows, 'window')}, {counted(sizes.tokens, 'token')}",
        f"Reference: {model_name(report.reference)}, perplexity {number(report.perplexity, 5)}",
        tables=(Table(labels, [_row(candidate) for candidate in report.candidates], numeric=labels[1:]),),
        sentences=(
            f"KL divergence in nats per token.{_INTERVALS if sizes.windows > 1 else ''}",
            *(f"Note: {model_name(c.model)}: {text}." for c in report.candidates for text in c.notes),
        ),
    )


def _row(candidate: CandidateResult) -> tuple[object, ...]:
    total = candidate.total
    return (
        Cell(model_name(candidate.model), below=candidate.how),
        bounded(number(total.kl.mean.value, 2), total.kl.mean.interval),
        bounded(number(total.kl.median.value, 2), total.kl.median.interval),
        number(total.kl.p99, 2),
        number(total.perplexity, 5),
        bounded(signed_percent(total.delta_percent.value), total.delta_percent.interval, "+.2f"),
        bounded(f"{number(total.top1.value)} %", total.top1.interval, ".1f"),
    )


def _arrays(report: ArraysReport) -> Panel:
    labels = ("Candidate", "Output", "1 - cosine", "Relative error", "Largest difference")
    rows = [
        (
            Cell(model_name(candidate.model), below=candidate.how),
            output.name,
            number(1 - output.cosine.value),
            number(output.relative_error.value),
            number(output.maximum),
        )
        for candidate in report.candidates
        for output in candidate.outputs
    ]
    return Panel(
        f"Compared on {counted(report.candidates[0].inputs, 'input')}",
        f"Reference: {model_name(report.reference)}, run with {report.how}",
        tables=(Table(labels, rows, numeric=labels[2:]),),
        sentences=[f"Note: {model_name(c.model)}: {text}." for c in report.candidates for text in c.notes],
    )
