"""ovpass evaluate: measure the accuracy cost of a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.grouped_help import GroupedCommand
from ovpass.cli.options import (
    MODEL_TEXT,
    PATH,
    cluster_options,
    evaluation_from,
    evaluation_options,
    json_option,
    quiet_option,
)
from ovpass.cli.output import note, print_json, print_table, progress, say, verdict
from ovpass.errors import SettingsError
from ovpass.evaluation.options import HarnessOptions, PromptOptions
from ovpass.support.formatting import counted, number

if TYPE_CHECKING:
    from ovpass.evaluation.answers import AnswerPair, AnswersSummary
    from ovpass.evaluation.harness import Tasks
    from ovpass.evaluation.language_model import CandidateResult, TextReport
    from ovpass.evaluation.model_outputs import ArraysReport, OutputsResult
    from ovpass.evaluation.summary import Estimate, TextSummary

_COLUMNS = ("", "PPL", "%", "KL", "median", "trim", "p99", "max", "Top-1")
_LEGEND = (
    "PPL: perplexity; KL in nats per token: mean, median,",
    "mean without the largest 1 %, 99th percentile, maximum; Top-1 in percent.",
)
_ANSWERS = ("", "Same", "First divergent", "Equal %", "Similarity")
_WORST = ("", "Similarity", "Prompt", "Reference", "Candidate")
_BEFORE, _SHOWN = 30, 120
"""Characters of an answer before it parts from the other, and in all."""
_INTERVALS = ("", "PPL %", "KL", "median", "Top-1")
_cluster, _mixed_hosts = cluster_options(click.option)


@click.command("evaluate", cls=GroupedCommand)
@click.argument("reference", type=MODEL_TEXT)
@click.argument("candidates", nargs=-1, type=MODEL_TEXT, metavar="CANDIDATE...")
@evaluation_options
@click.option(
    "--chunk-tokens",
    type=int,
    help="Feed windows in chunks; 1 is like generation.  [default: 32 with a compressed KV cache, else whole windows]",
)
@click.option("--blockwise", is_flag=True, help="Load one block at a time: for models larger than memory.")
@click.option("--workers", type=int, help="Predict in this many processes, which share the processors.")
@_cluster
@_mixed_hosts
@click.option("--state", type=PATH, help="Folder for measurements; an interrupted run resumes from it.")
@click.option("--inputs", multiple=True, type=PATH, help="Model inputs (.npz; repeatable).")
@click.option("--device", default="CPU", help="Device: CPU, GPU, or GPU.1 for one of several.  [default: CPU]")
@click.option("--harness", metavar="TASKS", help="Tasks of lm-evaluation-harness, separated by commas.")
@click.option("--harness-tasks-dir", type=PATH, help="Folder with your own YAML tasks.")
@click.option("--limit", type=int, help="Items per task.  [default: all]")
@click.option("--prompts", type=PATH, help="Prompts whose answers are compared, one per line, or .jsonl.")
@click.option("--new-tokens", type=int, help="Tokens per answer.  [default: 128]")
@click.option("--encoder", type=PATH, help="Sentence encoder folder, to compare the meaning of answers.")
@click.option("--batch", type=int, help="Texts to generate at a time.  [default: 1]")
@json_option
@quiet_option
def command(reference: str, candidates: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure the accuracy of models against a REFERENCE that runs without activation quantization.

    A CANDIDATE is a model as it is, or MODEL@setting,setting: MODEL@per-token, MODEL@group_size=64,
    MODEL@group_size=32,profile=cpu, MODEL@exempt=kind:mlp.down, MODEL@plan=plan.yaml. Settings are emulated in
    memory, with the device's rules and arithmetic; kv_key=u4 and kv_value=mant4:window-32 emulate a KV cache. Settings
    in capitals are compile properties.
    """
    from ovpass.evaluation.evaluate import evaluate  # noqa: PLC0415 - not needed to print help
    from ovpass.evaluation.report import report_to_dict  # noqa: PLC0415

    evaluation = replace(
        evaluation_from(options),
        harness=_harness(options),
        prompts=_prompts(options),
        chunk_tokens=options["chunk_tokens"],
        blockwise=options["blockwise"],
        workers=options["workers"],
        cluster=options["cluster"],
        mixed_hosts=options["mixed_hosts"],
        state=options["state"],
    )
    with progress(quiet=quiet) as step:
        report = evaluate(reference, candidates, evaluation, step)
    if as_json:
        print_json(report_to_dict(report))
    elif not quiet:
        _print(report)


def _harness(options: dict[str, Any]) -> HarnessOptions | None:
    tasks, folder, limit = (options[name] for name in ("harness", "harness_tasks_dir", "limit"))
    if tasks is None:
        if folder is not None or limit is not None:
            raise SettingsError("--harness-tasks-dir and --limit need --harness; add it, or leave them out")
        return None
    return HarnessOptions([task.strip() for task in tasks.split(",")], folder, limit, options["batch"] or 1)


def _prompts(options: dict[str, Any]) -> PromptOptions | None:
    file, encoder, new = (options[name] for name in ("prompts", "encoder", "new_tokens"))
    if file is None:
        if encoder is not None or new is not None:
            raise SettingsError("--encoder and --new-tokens need --prompts; add it, or leave them out")
        if options["harness"] is None and options["batch"] is not None:
            raise SettingsError("--batch needs --prompts or --harness; add one, or leave it out")
        return None
    chosen = PromptOptions(file, encoder=encoder, **({} if options["batch"] is None else {"batch": options["batch"]}))
    return chosen if new is None else replace(chosen, new_tokens=new)


def _print(report: TextReport | ArraysReport) -> None:
    from ovpass.evaluation.model_outputs import ArraysReport  # noqa: PLC0415

    if isinstance(report, ArraysReport):
        _print_arrays(report)
    else:
        _print_text(report)
        _print_harness(report)
        _print_answers(report)
    say(f"Reference: {report.reference}, run with {report.how}.")
    candidates: Sequence[CandidateResult | OutputsResult] = report.candidates
    for place, judged in enumerate(candidates, start=1):
        say(f"{place}: {judged.model}: {judged.how}.")
    for place, judged in enumerate(candidates, start=1):
        for text in judged.notes:
            note(f"{place}: {text}")
    if not isinstance(report, ArraysReport) and report.peak_megabytes is not None:
        say(f"Peak memory: {report.peak_megabytes:.0f} MB.")
    verdict(f"Compared on {_extent(report)}.")


def _extent(report: TextReport | ArraysReport) -> str:
    from ovpass.evaluation.model_outputs import ArraysReport  # noqa: PLC0415

    if isinstance(report, ArraysReport):
        return counted(report.candidates[0].inputs, "input")
    sizes = report.candidates[0].total
    return f"{counted(sizes.windows, 'window')}, {counted(sizes.tokens, 'token')}"


def _print_text(report: TextReport) -> None:
    rows: list[tuple[object, ...]] = [("ref.", number(report.perplexity, 5), *[None] * 7)]
    for place, judged in enumerate(report.candidates, start=1):
        rows += [_row(str(place), judged.total), *_parts(judged)]
    print_table(_COLUMNS, rows, numeric=_COLUMNS[1:])
    for line in _LEGEND:
        say(line)
    if report.candidates[0].total.windows > 1:
        say("95 % intervals, by bootstrap over windows:")
        intervals = [(str(place), *_intervals(judged.total)) for place, judged in enumerate(report.candidates, 1)]
        print_table(_INTERVALS, intervals, numeric=_INTERVALS[1:])


def _print_harness(report: TextReport) -> None:
    if report.harness is None:
        return
    runs: list[tuple[str, Tasks]] = [("reference", report.harness.reference)]
    runs += [(str(place), tasks) for place, tasks in enumerate(report.harness.candidates, start=1)]
    rows = [
        (name, task, metric, number(score.value, 4), None if score.stderr is None else number(score.stderr, 2))
        for task, metrics in report.harness.reference.items()
        for metric in metrics
        for name, tasks in runs
        for score in [tasks[task][metric]]
    ]
    columns = ("", "Task", "Metric", "Value", "Std. error")
    print_table(columns, rows, numeric=columns[3:])


def _print_answers(report: TextReport) -> None:
    if report.answers is None:
        return
    summaries = list(enumerate(report.answers.candidates, start=1))
    print_table(_ANSWERS, [(str(place), *_answers(summary)) for place, summary in summaries], numeric=_ANSWERS[1:])
    say("Same: answers that are; First divergent: tokens before an answer parts from the reference's, the mean;")
    say("Equal: of its tokens, in percent; Similarity: cosine of sentence embeddings, the mean.")
    worst = [_worst(place, pair) for place, summary in summaries for pair in summary.worst]
    if worst:
        say("The answers that differ most, from where they part:")
        print_table(_WORST, worst, numeric=_WORST[1:2])


def _answers(summary: AnswersSummary) -> tuple[str | None, ...]:
    similarity = None if summary.similarity is None else number(summary.similarity)
    same = f"{summary.identical}/{summary.prompts}"
    return same, number(summary.first_divergent), number(summary.equal), similarity


def _worst(place: int, pair: AnswerPair) -> tuple[str | None, ...]:
    """A row with both answers side by side."""
    pairs = zip(pair.reference, pair.candidate, strict=False)
    same = sum(1 for _ in takewhile(lambda characters: characters[0] == characters[1], pairs))
    start = max(0, same - _BEFORE)
    shown = [_excerpt(text, start) for text in (pair.reference, pair.candidate)]
    similarity = None if pair.similarity is None else number(pair.similarity)
    return str(place), similarity, _excerpt(pair.prompt), *shown


def _excerpt(text: str, start: int = 0) -> str:
    words = " ".join(text[start:].split())
    return ("… " if start else "") + (words if len(words) <= _SHOWN else f"{words[:_SHOWN]} …")


def _parts(judged: CandidateResult) -> list[tuple[object, ...]]:
    """The two costs apart, where there are two."""
    if judged.weights is None:
        return []
    activations = [] if judged.activations is None else [_row(" activ.", judged.activations)]
    return [_row(" weights", judged.weights), *activations]


def _row(name: str, summary: TextSummary) -> tuple[object, ...]:
    kl, change = summary.kl, summary.delta_percent.value
    return (
        name,
        number(summary.perplexity, 5),
        f"{change:+.2f}" if abs(change) < 100 else f"{change:+.0f}",
        *(number(value, 2) for value in (kl.mean.value, kl.median.value, kl.trimmed, kl.p99, kl.maximum)),
        f"{summary.top1.value:.1f}",
    )


def _intervals(summary: TextSummary) -> tuple[str | None, ...]:
    return (
        _interval(summary.delta_percent, "{:+.2f}".format),
        _interval(summary.kl.mean, partial(number, digits=2)),
        _interval(summary.kl.median, partial(number, digits=2)),
        _interval(summary.top1, "{:.1f}".format),
    )


def _interval(estimate: Estimate, form: Callable[[float], str]) -> str | None:
    if estimate.interval is None:
        return None
    low, high = estimate.interval
    return f"{form(low)} to {form(high)}"


def _print_arrays(report: ArraysReport) -> None:
    columns = ("", "Output", "1 - cosine", "Rel. error", "Largest diff.")
    rows = [
        (
            place,
            output.name,
            *map(number, (1 - output.cosine.value, output.relative_error.value, output.maximum)),
        )
        for place, judged in enumerate(report.candidates, start=1)
        for output in judged.outputs
    ]
    print_table(columns, rows, numeric=columns[2:])
