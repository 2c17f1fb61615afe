"""Evaluate language models on text: one pass per model, the same windows for all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.ahead import Ahead, Job
from ovpass.evaluation.answers import AnswersReport
from ovpass.evaluation.blockwise import Blockwise, PlainParts
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.harness import HarnessReport
from ovpass.evaluation.hidden_states import HiddenStates
from ovpass.evaluation.notes import candidate_notes
from ovpass.evaluation.preparation import CLEAN, Prepared, prepare, prepare_clean, prepare_reference
from ovpass.evaluation.recording import Array, Recording
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.summary import TextSummary, perplexity, summarize
from ovpass.evaluation.windows import Window
from ovpass.planning.plan import QUANTIZE
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


class _Changes:
    """Whether predictions differ from those of the candidate's own weights, run clean."""

    def __init__(self, base: Recording | None) -> None:
        self._base = base
        self.found = base is None
        self.first = np.zeros(0, np.float32)

    def look(self, number: int, logits: Array) -> None:
        """Compare one window's predictions; those of the first are kept."""
        if number == 0:
            self.first = logits.copy()
        if self._base is not None and not self.found:
            self.found = not np.array_equal(self._base.load(number), logits, equal_nan=True)


@dataclass
class TextEvaluation:
    """Runs models on `windows`; predictions of clean ones are kept in `folder`, by path, for all comparisons.

    With `blockwise` one block of a model is in memory at a time; with `workers` predictions are made in that many
    processes.
    """

    windows: Sequence[Window]
    folder: Path
    device: str = "CPU"
    chunk: int | None = None
    progress: Progress = lambda _: None
    blockwise: bool = False
    workers: int | None = None
    _ahead: Ahead | None = None

    def run(self, reference: Candidate, candidates: Sequence[Candidate]) -> TextReport:
        """Evaluate all candidates against the reference.

        Raises:
            OvpassError: for a model, setting or plan that cannot be used.
        """
        if self.workers is None:
            return self._run(reference, candidates)
        jobs = list(self._jobs(reference, candidates))
        ahead = Ahead(jobs, self.windows, self.folder, self.device, self.workers)
        try:
            return replace(self, _ahead=ahead)._run(reference, candidates)
        finally:
            ahead.close()

    def _jobs(self, reference: Candidate, candidates: Sequence[Candidate]) -> Iterator[Job]:
        """All predictions in the order in which they are asked for."""
        yield Job(partial(prepare_reference, reference, self.device, self.chunk), reference.label)
        known = {reference.path.resolve()} if reference.plain else set()
        for candidate in candidates:
            clean = partial(prepare_clean, candidate, self.chunk)
            if candidate.path.resolve() not in known and clean() is not None:
                yield Job(clean, f"{candidate.path} (clean)")
            known.add(candidate.path.resolve())
            yield Job(partial(prepare, candidate, self.device, self.chunk), candidate.label)

    def _run(self, reference: Candidate, candidates: Sequence[Candidate]) -> TextReport:
        make = partial(prepare_reference, reference, self.device, self.chunk)
        prepared = make()
        truth = self._record(prepared, make, reference.label)
        own: dict[Path, Recording | None] = {reference.path.resolve(): truth} if reference.plain else {}
        judged = [
            replace(self, progress=own_progress)._judge(candidate, truth, own)
            for own_progress, candidate in in_parts(self.progress, "candidate", candidates)
        ]
        scores = self._compared(truth, truth.load)
        peak = peak_megabytes() if self.blockwise else None
        return TextReport(reference.label, prepared.how, perplexity(scores), tuple(judged), peak_megabytes=peak)

    def _judge(self, candidate: Candidate, truth: Recording, own: dict[Path, Recording | None]) -> CandidateResult:
        path = candidate.path.resolve()
        if path not in own:
            own[path] = self._record_clean(candidate)
        base, make = own[path], partial(prepare, candidate, self.device, self.chunk)
        prepared, started = make(), time.perf_counter()
        changes = _Changes(base)
        total: list[TokenScores] = []
        activations: list[TokenScores] = []
        for number, logits in self._predictions(prepared, make, candidate.label):
            changes.look(number, logits)
            total.append(self._scores(truth.load(number), logits, number, candidate.label))
            if base is not None and base is not truth:
                activations.append(compare_logits(base.load(number), logits, self.windows[number]))
        seconds = time.perf_counter() - started
        self._require_change(candidate, prepared, changes)
        notes = self._notes(prepared, seconds)
        judged = CandidateResult(candidate.label, prepared.how, notes, summarize(total), None, None, seconds)
        if base is None:
            return judged
        if base is truth:
            return replace(judged, activations=judged.total)
        weights = summarize(self._compared(truth, base.load))
        return replace(judged, weights=weights, activations=summarize(activations))

    def _require_change(self, candidate: Candidate, prepared: Prepared, changes: _Changes) -> None:
        """Refuse a result in which no setting had an effect: a divergence of zero would say that it is free."""
        asked = {name: value for name, value in prepared.properties.items() if CLEAN.get(name, value) != value}
        cache = prepared.cache
        if not (asked or cache or (prepared.plan and prepared.plan.chosen(QUANTIZE))):
            return
        if cache and prepared.chunk != self.chunk:
            changed = self._cache_changes(prepared, candidate.label, changes.first)
        else:
            changed = changes.found
        longest = max(len(window.ids) for window in self.windows)
        # A model with an emulated cache adds up in another order, so that it differs in any case.
        doubtful = not changed or prepared.emulates_cache
        if doubtful and cache and prepared.chunk is not None and prepared.chunk >= longest:
            raise SettingsError(
                f"{candidate.label}: windows of {longest} tokens fit in one chunk of {prepared.chunk}, so the "
                "KV cache is not read; use longer windows (--window-tokens) or smaller chunks (--chunk-tokens)"
            )
        if not changed:
            what = ", ".join(f"{name}={value}" for name, value in {**asked, **cache}.items()) or "the plan"
            raise ModelError(
                f"{candidate.label}: {what} changed no prediction on {self.device}, so its cost cannot be measured "
                "there: the plugin ignores it for this model ('ovpass explain' says why); name a profile to emulate it"
            )

    def _cache_changes(self, prepared: Prepared, name: str, first: Array) -> bool:
        """Whether predictions of the first window differ from those with a cache in f32, fed in the same pieces."""
        self.progress(f"{name}: checking that the KV cache is read")
        runner = Runner(prepared.with_exact_cache(), f"{name} (f32 KV cache)", self.device)
        return not np.array_equal(runner.logits(self.windows[0]), first, equal_nan=True)

    def _notes(self, prepared: Prepared, seconds: float) -> tuple[str, ...]:
        longest = max(len(window.ids) for window in self.windows)
        notes = candidate_notes(prepared.plan, longest)
        if prepared.chunk is None or prepared.chunk == 1 or self.workers is not None:
            return notes
        pieces = sum(-(-len(window.ids) // prepared.chunk) for window in self.windows)
        alone = seconds / pieces * sum(len(window.ids) for window in self.windows)
        return (
            *notes,
            f"fed in chunks of {counted(prepared.chunk, 'token')}; --chunk-tokens 1 is like generation and takes "
            f"about {alone:.0f} s",
        )

    def _record_clean(self, candidate: Candidate) -> Recording | None:
        """The predictions of the candidate's own weights, if they can be had without quantization."""
        make = partial(prepare_clean, candidate, self.chunk)
        clean = make()
        return None if clean is None else self._record(clean, lambda: make() or clean, f"{candidate.path} (clean)")

    def _record(self, prepared: Prepared, make: Callable[[], Prepared], name: str) -> Recording:
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        recording = Recording(folder)
        for number, logits in self._predictions(prepared, make, name):
            recording.save(number, logits)
        return recording

    def _predictions(self, prepared: Prepared, make: Callable[[], Prepared], name: str) -> Iterator[tuple[int, Array]]:
        """By the number of the window; `make` prepares the same model again, for each block anew."""
        if self.blockwise:
            yield from self._block_by_block(prepared, make, name)
            return
        if self._ahead is not None:
            self.progress(f"{name}: in {counted(self.workers or 1, 'process', 'processes')}")
            yield from self._ahead.predictions()
            return
        self.progress(f"{name}: compiling")
        runner = Runner(prepared, name, self.device)
        for number, window in enumerate(self.windows):
            self.progress(f"{name}: window {number + 1} of {len(self.windows)}")
            yield number, runner.logits(window)

    def _block_by_block(
        self, prepared: Prepared, make: Callable[[], Prepared], name: str
    ) -> Iterator[tuple[int, Array]]:
        parts = PlainParts(name, prepared.properties, self.device)
        with tempfile.TemporaryDirectory(prefix="ovpass-hidden-") as folder:
            hidden = HiddenStates(Path(folder))
            model: Blockwise[None] = Blockwise(
                lambda: make().model, name, prepared.home, parts, hidden, lambda step: self.progress(f"{name}: {step}")
            )
            yield from enumerate(model.logits([(window, None) for window in self.windows]))

    def _compared(self, truth: Recording, load: Callable[[int], Array]) -> list[TokenScores]:
        return [compare_logits(truth.load(i), load(i), window) for i, window in enumerate(self.windows)]

    def _scores(self, truth: Array, logits: Array, number: int, name: str) -> TokenScores:
        if truth.shape != logits.shape:
            raise ModelError(
                f"{name}: has {logits.shape[-1]} tokens in its vocabulary, the reference {truth.shape[-1]}: "
                "compare models with one vocabulary"
            )
        if (largest := int(self.windows[number].targets.max())) >= logits.shape[-1]:
            raise ModelError(
                f"{name}: has {logits.shape[-1]} tokens in its vocabulary, but the text has token {largest}; "
                "name the model's own tokenizer with --tokenizer"
            )
        return compare_logits(truth, logits, self.windows[number])
