"""Evaluate language models on text: one pass per model, the same windows for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.errors import OvpassError
from ovpass.evaluation.answers import AnswersReport
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.changes import require_change
from ovpass.evaluation.cluster_scores import ClusterScores
from ovpass.evaluation.harness import HarnessReport
from ovpass.evaluation.kept_scores import KeptScores, name_of_comparison
from ovpass.evaluation.local_scores import LocalScores
from ovpass.evaluation.notes import candidate_notes
from ovpass.evaluation.preparation import Prepared, prepare, prepare_reference
from ovpass.evaluation.scoring import Asked, Comparisons, Scorer
from ovpass.evaluation.summary import TextSummary, perplexity, summarize
from ovpass.evaluation.windows import Window
from ovpass.evaluation.workers import Workers
from ovpass.support.formatting import counted
from ovpass.support.memory import peak_megabytes
from ovpass.support.progress import Progress, in_parts
from ovpass.support.shown import Shown


@dataclass(frozen=True)
class CandidateResult:
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
class TextReport(Shown):
    """All candidates, and the reference that they were compared with.

    `peak_megabytes` is the peak memory of this process where one block was in memory at a time.
    """

    reference: str
    how: str
    perplexity: float
    candidates: tuple[CandidateResult, ...]
    harness: HarnessReport | None = None
    answers: AnswersReport | None = None
    peak_megabytes: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TextEvaluation:
    """Runs models on `windows`; predictions of clean ones are kept in `folder`, by path, for all comparisons.

    Each window that is compared is kept in the folder `state` until all candidates are done, and not compared again.
    With `blockwise` one block of a model is in memory at a time; with a count or a cluster of `workers` these predict.
    """

    windows: Sequence[Window]
    folder: Path
    state: Path
    device: str = "CPU"
    chunk: int | None = None
    progress: Progress = lambda _: None
    blockwise: bool = False
    workers: Workers = field(default_factory=Workers)

    def run(self, reference: Candidate, candidates: Sequence[Candidate]) -> TextReport:
        """Evaluate all candidates against the reference.

        Raises:
            OvpassError: for a model, setting or plan that cannot be used.
        """
        asked = [Asked(candidate, self._kept(reference, candidate)) for candidate in candidates]
        comparisons = Comparisons(reference, asked, self.windows, self.device, self.chunk)
        scorer = self._scorer(comparisons)
        try:
            report = self._run(comparisons, scorer)
        finally:
            scorer.close()
        for each in asked:
            each.kept.discard()
        return report

    @property
    def _longest(self) -> int:
        return max(len(window.ids) for window in self.windows)

    def _kept(self, reference: Candidate, candidate: Candidate) -> KeptScores:
        name = name_of_comparison(reference, candidate, self.windows, self.device, self.chunk)
        return KeptScores(self.state / f"{name}.jsonl", len(self.windows))

    def _scorer(self, comparisons: Comparisons) -> Scorer:
        if self.workers.cluster is not None:
            return ClusterScores(comparisons, self.workers)
        return LocalScores(comparisons, self.folder, self.workers, self.progress, blockwise=self.blockwise)

    def _run(self, comparisons: Comparisons, scorer: Scorer) -> TextReport:
        reference, asked = comparisons.reference, comparisons.asked
        prepared = prepare_reference(reference, self.device, self.chunk)
        scorer.start(prepared)
        judged = tuple(
            self._judge(comparisons, each, scorer, progress)
            for progress, each in in_parts(self.progress, "candidate", asked)
        )
        ppl = perplexity([window.total for window in asked[0].kept.all()], reference=True)
        peak = peak_megabytes() if self.blockwise else None
        return TextReport(reference.label, prepared.how, ppl, judged, peak_megabytes=peak)

    def _judge(self, comparisons: Comparisons, asked: Asked, scorer: Scorer, progress: Progress) -> CandidateResult:
        """Compare the windows that are missing, keep each, and sum up all."""
        candidate, prepared = asked.candidate, prepare(asked.candidate, self.device, self.chunk)
        for number, scores in scorer.scores(asked, prepared, progress):
            asked.kept.put(number, scores)
        windows = asked.kept.all()
        try:
            changed = any(window.changed for window in windows)
            require_change(candidate, prepared, self._longest, self.device, changed=changed)
        except OvpassError:
            asked.kept.discard()
            raise
        seconds = sum(window.seconds for window in windows)
        total = summarize([window.total for window in windows])
        weights = [window.weights for window in windows if window.weights is not None]
        activations = [window.activations for window in windows if window.activations is not None]
        return CandidateResult(
            candidate.label,
            prepared.how,
            self._notes(prepared, seconds),
            total,
            summarize(weights) if weights else None,
            total if comparisons.own_is_reference(asked.path) else summarize(activations) if activations else None,
            seconds,
        )

    def _notes(self, prepared: Prepared, seconds: float) -> tuple[str, ...]:
        notes = candidate_notes(prepared.plan, self._longest)
        if prepared.chunk is None or prepared.chunk == 1 or self.workers != Workers():
            return notes
        pieces = sum(-(-len(window.ids) // prepared.chunk) for window in self.windows)
        alone = seconds / pieces * sum(len(window.ids) for window in self.windows)
        return (
            *notes,
            f"fed in chunks of {counted(prepared.chunk, 'token')}; --chunk-tokens 1 is like generation and takes "
            f"about {alone:.0f} s",
        )
