"""Evaluate candidates: choose the method that fits the models, and cut the windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import openvino as ov

from ovpass.errors import SettingsError
from ovpass.evaluation.answering import Answering
from ovpass.evaluation.candidates import Candidate, parse_candidate
from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.feeding import TokenFeed, is_language_model
from ovpass.evaluation.harness import Harness
from ovpass.evaluation.kv_cache import cache_settings
from ovpass.evaluation.language_model import TextEvaluation, TextReport
from ovpass.evaluation.model_outputs import ArraysReport, evaluate_arrays, load_case
from ovpass.evaluation.options import ENCODER, LANGUAGE_MODEL, Evaluation, WindowOptions
from ovpass.evaluation.plan_cache import cache_in_force
from ovpass.evaluation.preparation import check_candidate, sole_model
from ovpass.evaluation.recording import recordings
from ovpass.evaluation.tokenizer import load_tokenizer
from ovpass.evaluation.windows import Window, make_windows
from ovpass.evaluation.workers import Workers, choose_workers
from ovpass.support.cache import cache_folder
from ovpass.verification.devices import require_device
from ovpass.verification.simulated_gpu import is_simulated


def evaluate(
    reference: str | Path | Candidate,
    candidates: Sequence[str | Path | Candidate],
    evaluation: Evaluation | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> TextReport | ArraysReport:
    """Compare candidates (`MODEL` or `MODEL@setting,setting`) with a reference that runs without quantization.

    Raises:
        OvpassError: a subclass, for an invalid model, setting, text or tokenizer.
    """
    how = evaluation or Evaluation()
    if not candidates:
        raise SettingsError("name one or more candidates to compare with the reference, MODEL or MODEL@setting")
    if how.device != "CPU" and is_simulated():
        raise SettingsError("this process simulates the GPU, which computes nothing; evaluate on CPU")
    require_device(how.device)
    first = _as_candidate(reference, how.profile)
    others = [_as_candidate(candidate, how.profile) for candidate in candidates]
    source = sole_model(first)
    model = source.read()
    if (how.harness or how.prompts) and (how.inputs or not is_language_model(model)):
        raise SettingsError(f"{first.label}: harness tasks and prompts need a language model that takes token ids")
    if how.chunk_tokens is not None and (how.inputs or "ReadValue" not in source.document().graph.types):
        raise SettingsError(f"{first.label}: chunk-tokens needs a language model with a KV cache state")
    if how.blockwise:
        _check_blockwise(first, others, how, model)
    workers = choose_workers(how.workers, how.cluster, mixed_hosts=how.mixed_hosts, blockwise=how.blockwise)
    if workers != Workers() and (how.inputs or how.device != "CPU" or not is_language_model(model)):
        raise SettingsError(
            f"{first.label}: --workers and --cluster run language models on windows of text, on CPU; leave them out "
            "for other devices and other models"
        )
    if how.inputs:
        _check(first, others, how, None)
        cases = [load_case(path, model) for path in how.inputs]
        return evaluate_arrays(first, others, cases, device=how.device, progress=progress)
    if not is_language_model(model):
        feed = TokenFeed(model, first.label)
        windows = windows_for(first, how, ENCODER)
        tokens = max(len(window.ids) for window in windows)
        _check(first, others, how, tokens)
        cases = [feed(window.ids) for window in windows]
        return evaluate_arrays(first, others, cases, tokens=tokens, device=how.device, progress=progress)
    return _evaluate_texts(first, others, how, workers, progress)


def _as_candidate(given: str | Path | Candidate, profile: str) -> Candidate:
    return given if isinstance(given, Candidate) else parse_candidate(str(given), profile)


def _evaluate_texts(
    first: Candidate,
    others: Sequence[Candidate],
    how: Evaluation,
    workers: Workers,
    progress: Callable[[str], None],
) -> TextReport:
    """Predictions first, then tasks and answers; whatever can be refused is, before anything runs."""
    windows = windows_for(first, how, LANGUAGE_MODEL)
    _check(first, others, how, max(len(window.ids) for window in windows))
    tokenizer = _tokenizer_folder(first, how)
    harness = None if how.harness is None else Harness(how.harness, tokenizer, how.device, progress)
    answering = None if how.prompts is None else Answering(how.prompts, tokenizer, how.device, progress)
    with recordings() as folder:
        evaluation = TextEvaluation(
            windows,
            folder,
            how.state or cache_folder("measurements"),
            device=how.device,
            chunk=how.chunk_tokens,
            progress=progress,
            blockwise=how.blockwise,
            workers=workers,
        )
        report = evaluation.run(first, others)
    if harness is not None:
        tasks = harness.run(first, others)
        report = _noted(replace(report, harness=tasks), tasks.notes)
    if answering is not None:
        answers = answering.run(first, others)
        report = _noted(replace(report, answers=answers), [summary.notes for summary in answers.candidates])
    return report


def _noted(report: TextReport, notes: Sequence[tuple[str, ...]]) -> TextReport:
    """The report with more notes on each candidate."""
    pairs = zip(report.candidates, notes, strict=True)
    return replace(report, candidates=tuple(replace(judged, notes=(*judged.notes, *new)) for judged, new in pairs))


def _check(reference: Candidate, candidates: Sequence[Candidate], how: Evaluation, tokens: int | None) -> None:
    for candidate in (*([] if reference.plain else [reference]), *candidates):
        check_candidate(candidate, how.device, tokens, how.chunk_tokens)


def _check_blockwise(first: Candidate, others: Sequence[Candidate], how: Evaluation, model: ov.Model) -> None:
    """Refuse what needs the whole model in memory."""
    if how.inputs or how.harness or how.prompts or how.chunk_tokens is not None or not is_language_model(model):
        raise SettingsError(
            f"{first.label}: --blockwise runs language models on windows of text; leave it out for tasks, prompts, "
            "inputs, chunks and other models"
        )
    for candidate in others:
        own_cache, formats = cache_in_force(candidate, sole_model(candidate), how.device)
        if formats or own_cache or cache_settings(candidate.properties):
            raise SettingsError(f"{candidate.label}: a compressed KV cache is read in chunks; leave --blockwise out")


def windows_for(
    candidate: Candidate, evaluation: Evaluation, default: WindowOptions, *, least: int | None = None
) -> list[Window]:
    """The windows that an evaluation asks for, of the candidate's tokenizer; as few as `least` if the text is short."""
    tokenizer = load_tokenizer(_tokenizer_folder(candidate, evaluation))
    return make_windows(read_text(evaluation.text), tokenizer, evaluation.window_options(default), least=least)


def _tokenizer_folder(candidate: Candidate, evaluation: Evaluation) -> Path:
    return evaluation.tokenizer or sole_model(candidate).xml.parent
