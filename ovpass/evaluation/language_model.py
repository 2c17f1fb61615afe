"""Evaluate language models on text: one pass per model, the same windows for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ovpass.errors import ModelError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.harness import HarnessReport
from ovpass.evaluation.notes import candidate_notes
from ovpass.evaluation.preparation import Prepared, prepare, prepare_clean, prepare_reference
from ovpass.evaluation.recording import Array, Recording
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.summary import TextSummary, perplexity, summarize
from ovpass.evaluation.windows import Window

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """One candidate: `total` against the reference; `weights` and `activations` are parts of it.

    `weights` compares the candidate's own weights, run clean, with the reference, where they are other weights;
    `activations` compares the candidate with its own weights run clean, None where those cannot be had. `notes` say
    what is to be known about the result.
    """

    model: str
    how: str
    notes: tuple[str, ...]
    total: TextSummary
    weights: TextSummary | None
    activations: TextSummary | None
    seconds: float


@dataclass(frozen=True)
class TextReport:
    """All candidates, and the reference that they were compared with."""

    reference: str
    how: str
    perplexity: float
    candidates: tuple[Judged, ...]
    harness: HarnessReport | None = None


@dataclass
class TextEvaluation:
    """Runs models on `windows`; predictions of clean ones are kept in `folder`, by path, for all comparisons."""

    windows: Sequence[Window]
    folder: Path
    device: str = "CPU"
    progress: Progress = lambda _: None

    def run(self, reference: Candidate, candidates: Sequence[Candidate]) -> TextReport:
        """Evaluate all candidates against the reference.

        Raises:
            OvpassError: for a model, setting or plan that cannot be used.
        """
        prepared = prepare_reference(reference)
        truth = self._record(prepared, reference.label)
        own: dict[Path, Recording | None] = {reference.path.resolve(): truth} if reference.plain else {}
        judged = [self._judge(candidate, truth, own) for candidate in candidates]
        scores = self._compared(truth, truth.load)
        return TextReport(reference.label, prepared.how, perplexity(scores), tuple(judged))

    def _judge(self, candidate: Candidate, truth: Recording, own: dict[Path, Recording | None]) -> Judged:
        path = candidate.path.resolve()
        if path not in own:
            clean = prepare_clean(candidate)
            own[path] = None if clean is None else self._record(clean, f"{candidate.path} (clean)")
        base = own[path]
        prepared, started = prepare(candidate), time.perf_counter()
        total: list[TokenScores] = []
        activations: list[TokenScores] = []
        for number, logits in self._predictions(prepared, candidate.label):
            total.append(self._scores(truth.load(number), logits, number, candidate.label))
            if base is not None and base is not truth:
                activations.append(compare_logits(base.load(number), logits, self.windows[number]))
        seconds = time.perf_counter() - started
        notes = candidate_notes(prepared.plan, max(len(window.ids) for window in self.windows))
        judged = Judged(candidate.label, prepared.how, notes, summarize(total), None, None, seconds)
        if base is None:
            return judged
        if base is truth:
            return replace(judged, activations=judged.total)
        weights = summarize(self._compared(truth, base.load))
        return replace(judged, weights=weights, activations=summarize(activations))

    def _record(self, prepared: Prepared, name: str) -> Recording:
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        recording = Recording(folder)
        for number, logits in self._predictions(prepared, name):
            recording.save(number, logits)
        return recording

    def _predictions(self, prepared: Prepared, name: str) -> Iterator[tuple[int, Array]]:
        self.progress(f"{name}: compiling")
        runner = Runner(prepared, name, self.device)
        for number, window in enumerate(self.windows):
            self.progress(f"{name}: window {number + 1} of {len(self.windows)}")
            yield number, runner.logits(window)

    def _compared(self, truth: Recording, load: Callable[[int], Array]) -> list[TokenScores]:
        return [compare_logits(truth.load(i), load(i), window) for i, window in enumerate(self.windows)]

    def _scores(self, truth: Array, logits: Array, number: int, name: str) -> TokenScores:
        if truth.shape != logits.shape:
            raise ModelError(
                f"{name}: predicts {logits.shape[-1]} tokens, the reference {truth.shape[-1]}: "
                "they have different vocabularies"
            )
        return compare_logits(truth, logits, self.windows[number])
