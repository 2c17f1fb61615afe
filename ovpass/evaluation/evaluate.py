"""What a setting costs: `evaluate` picks the way that fits the models, and makes the windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.evaluation.arrays import ArraysReport, evaluate_arrays, load_case
from ovpass.evaluation.candidates import Candidate, parse_candidate
from ovpass.evaluation.feeding import TokenFeed, is_language_model
from ovpass.evaluation.options import ENCODER, LANGUAGE_MODEL, Evaluation, WindowOptions
from ovpass.evaluation.preparation import sole_model
from ovpass.evaluation.recording import recordings
from ovpass.evaluation.text import TextEvaluation, TextReport
from ovpass.evaluation.texts import read_text
from ovpass.evaluation.tokenizer import load_tokenizer
from ovpass.evaluation.windows import Window, make_windows
from ovpass.verification.simulated_gpu import is_simulated


def evaluate(
    reference: str | Path,
    candidates: Sequence[str | Path],
    evaluation: Evaluation | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> TextReport | ArraysReport:
    """Compare candidates (`MODEL` or `MODEL@setting,setting`) with a reference that runs clean.

    Raises:
        OvpassError: its children for a bad model, setting, text or tokenizer.
    """
    how = evaluation or Evaluation()
    if not candidates:
        raise SettingsError("name one or more candidates to compare with the reference, MODEL or MODEL@setting")
    if how.device == "GPU" and is_simulated():
        raise SettingsError("the GPU of this process is simulated: it computes nothing; evaluate on CPU")
    first = parse_candidate(str(reference), how.profile)
    others = [parse_candidate(str(candidate), how.profile) for candidate in candidates]
    model = sole_model(first).read()
    if how.inputs:
        cases = [load_case(path, model) for path in how.inputs]
        return evaluate_arrays(first, others, cases, device=how.device, progress=progress)
    if not is_language_model(model):
        feed = TokenFeed(model, first.label)
        cases = [feed(window.ids) for window in windows_for(first, how, ENCODER)]
        return evaluate_arrays(first, others, cases, device=how.device, progress=progress)
    windows = windows_for(first, how, LANGUAGE_MODEL)
    with recordings() as folder:
        return TextEvaluation(windows, folder, how.device, progress).run(first, others)


def windows_for(candidate: Candidate, evaluation: Evaluation, default: WindowOptions, skip: int = 0) -> list[Window]:
    """The windows that an evaluation asks for, of the candidate's tokenizer, behind the first `skip`."""
    folder = evaluation.tokenizer or sole_model(candidate).xml.parent
    options = evaluation.window_options(default, skip)
    return make_windows(read_text(evaluation.text), load_tokenizer(folder), options)
