"""Evaluate language models on text: one pass per model, the same windows for all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ovpass.errors import ModelError, OvpassError
from ovpass.evaluation.ahead import Ahead, Job
from ovpass.evaluation.answers import AnswersReport
from ovpass.evaluation.blockwise import Blockwise, PlainParts
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.changes import require_change
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.harness import HarnessReport
from ovpass.evaluation.hidden_states import HiddenStates
from ovpass.evaluation.kept_scores import KeptScores, WindowScores, name_of_comparison
from ovpass.evaluation.notes import candidate_notes
from ovpass.evaluation.preparation import Prepared, prepare, prepare_clean, prepare_reference
from ovpass.evaluation.recording import Array, Recording
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.summary import TextSummary, perplexity, summarize
from ovpass.evaluation.windows import Window
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
class _Asked:
    """A candidate, and what is kept of its comparison."""

    candidate: Candidate
    kept: KeptScores

    @property
    def path(self) -> Path:
        return self.candidate.path.resolve()


@dataclass
class TextEvaluation:
    """Runs models on `windows`; predictions of clean ones are kept in `folder`, by path, for all comparisons.

    Each window that is compared is kept in the folder `state` until all candidates are done, and not compared again.
    With `blockwise` one block of a model is in memory at a time; with `workers` predictions are made in that many
    processes.
    """

    windows: Sequence[Window]
    folder: Path
    state: Path
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
        asked = [_Asked(candidate, self._kept(reference, candidate)) for candidate in candidates]
        if self.workers is None:
            report = self._run(reference, asked)
        else:
            ahead = Ahead(list(self._jobs(reference, asked)), self.folder, self.device, self.workers)
            try:
                report = replace(self, _ahead=ahead)._run(reference, asked)
            finally:
                ahead.close()
        for each in asked:
            each.kept.discard()
        return report

    @property
    def _longest(self) -> int:
        return max(len(window.ids) for window in self.windows)

    def _kept(self, reference: Candidate, candidate: Candidate) -> KeptScores:
        name = name_of_comparison(reference, candidate, self.windows, self.device, self.chunk)
        return KeptScores(self.state / f"{name}.jsonl", len(self.windows))

    def _jobs(self, reference: Candidate, asked: Sequence[_Asked]) -> Iterator[Job]:
        """All predictions in the order in which they are asked for."""
        needed = _missing(asked)
        if needed:
            make = partial(prepare_reference, reference, self.device, self.chunk)
            yield Job(make, reference.label, self._numbered(needed))
        known = {reference.path.resolve()} if reference.plain else set()
        for each in asked:
            candidate, needed = each.candidate, _missing(asked, each.path)
            clean = partial(prepare_clean, candidate, self.chunk)
            if each.path not in known and needed and clean() is not None:
                yield Job(clean, f"{candidate.path} (clean)", self._numbered(needed))
            known.add(each.path)
            if each.kept.missing:
                make = partial(prepare, candidate, self.device, self.chunk)
                yield Job(make, candidate.label, self._numbered(each.kept.missing))

    def _numbered(self, numbers: Sequence[int]) -> dict[int, Window]:
        return {number: self.windows[number] for number in numbers}

    def _run(self, reference: Candidate, asked: Sequence[_Asked]) -> TextReport:
        make = partial(prepare_reference, reference, self.device, self.chunk)
        prepared = make()
        truth = self._record(prepared, make, reference.label, _missing(asked))
        own: dict[Path, Recording | None] = {reference.path.resolve(): truth} if reference.plain else {}
        judged = []
        for progress, each in in_parts(self.progress, "candidate", asked):
            alone = replace(self, progress=progress)
            if each.path not in own:
                own[each.path] = alone._record_clean(each.candidate, _missing(asked, each.path))
            judged.append(alone._judge(each, truth, own[each.path]))
        ppl = perplexity([window.total for window in asked[0].kept.all()], reference=True)
        peak = peak_megabytes() if self.blockwise else None
        return TextReport(reference.label, prepared.how, ppl, tuple(judged), peak_megabytes=peak)

    def _judge(self, asked: _Asked, truth: Recording, base: Recording | None) -> CandidateResult:
        candidate, prepared = asked.candidate, prepare(asked.candidate, self.device, self.chunk)
        self._measure(asked, prepared, truth, base)
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
            total if base is truth else summarize(activations) if activations else None,
            seconds,
        )

    def _measure(self, asked: _Asked, prepared: Prepared, truth: Recording, base: Recording | None) -> None:
        """Compare the windows that are missing, and keep each."""
        candidate, missing = asked.candidate, asked.kept.missing
        make = partial(prepare, candidate, self.device, self.chunk)
        changed = self._changes(candidate, prepared, base, missing)
        started = time.perf_counter()
        for number, logits in self._predictions(prepared, make, candidate.label, missing):
            total = self._scores(truth.load(number), logits, number, candidate.label)
            weights = activations = None
            if base is not None and base is not truth:
                weights = compare_logits(truth.load(number), base.load(number), self.windows[number])
                activations = compare_logits(base.load(number), logits, self.windows[number])
            seconds = time.perf_counter() - started
            asked.kept.put(number, WindowScores(total, weights, activations, changed(number, logits), seconds))
            started = time.perf_counter()

    def _changes(
        self, candidate: Candidate, prepared: Prepared, base: Recording | None, missing: Sequence[int]
    ) -> Callable[[int, Array], bool]:
        """Whether a window's predictions differ from those of the candidate's own weights, run clean.

        Those of a candidate with a compressed KV cache, fed in other pieces than these, are compared with those of a
        cache in f32 fed in the same pieces, on the first window.
        """
        if not prepared.cache or prepared.chunk == self.chunk:
            return lambda number, logits: base is None or not _equal(base.load(number), logits)
        exact = self._exact_cache(prepared, candidate.label) if 0 in missing else None
        return lambda number, logits: number == 0 and exact is not None and not _equal(exact, logits)

    def _exact_cache(self, prepared: Prepared, name: str) -> Array:
        """The predictions of the first window with a cache in f32."""
        self.progress(f"{name}: checking that the KV cache is read")
        runner = Runner(prepared.with_exact_cache(), f"{name} (f32 KV cache)", self.device)
        return np.array(runner.logits(self.windows[0]))

    def _notes(self, prepared: Prepared, seconds: float) -> tuple[str, ...]:
        notes = candidate_notes(prepared.plan, self._longest)
        if prepared.chunk is None or prepared.chunk == 1 or self.workers is not None:
            return notes
        pieces = sum(-(-len(window.ids) // prepared.chunk) for window in self.windows)
        alone = seconds / pieces * sum(len(window.ids) for window in self.windows)
        return (
            *notes,
            f"fed in chunks of {counted(prepared.chunk, 'token')}; --chunk-tokens 1 is like generation and takes "
            f"about {alone:.0f} s",
        )

    def _record_clean(self, candidate: Candidate, numbers: Sequence[int]) -> Recording | None:
        """The predictions of the candidate's own weights, if they can be had without quantization."""
        make = partial(prepare_clean, candidate, self.chunk)
        clean = make()
        if clean is None:
            return None
        return self._record(clean, lambda: make() or clean, f"{candidate.path} (clean)", numbers)

    def _record(self, prepared: Prepared, make: Callable[[], Prepared], name: str, numbers: Sequence[int]) -> Recording:
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        recording = Recording(folder)
        for number, logits in self._predictions(prepared, make, name, numbers):
            recording.save(number, logits)
        return recording

    def _predictions(
        self, prepared: Prepared, make: Callable[[], Prepared], name: str, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Array]]:
        """By the number of the window; `make` prepares the same model again, for each block anew."""
        if not numbers:
            return
        if self.blockwise:
            yield from self._block_by_block(prepared, make, name, numbers)
            return
        if self._ahead is not None:
            self.progress(f"{name}: in {counted(self.workers or 1, 'process', 'processes')}")
            yield from self._ahead.predictions()
            return
        self.progress(f"{name}: compiling")
        runner = Runner(prepared, name, self.device)
        for number in numbers:
            self.progress(f"{name}: window {number + 1} of {len(self.windows)}")
            yield number, runner.logits(self.windows[number])

    def _block_by_block(
        self, prepared: Prepared, make: Callable[[], Prepared], name: str, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Array]]:
        parts = PlainParts(name, prepared.properties, self.device)
        with tempfile.TemporaryDirectory(prefix="ovpass-hidden-") as folder:
            hidden = HiddenStates(Path(folder))
            model: Blockwise[None] = Blockwise(
                lambda: make().model, name, prepared.home, parts, hidden, lambda step: self.progress(f"{name}: {step}")
            )
            logits = model.logits([(self.windows[number], None) for number in numbers])
            yield from zip(numbers, logits, strict=True)

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


def _missing(asked: Sequence[_Asked], path: Path | None = None) -> list[int]:
    """The windows that are missing for any candidate, or for any with the model at `path`."""
    return sorted({number for each in asked if path in (None, each.path) for number in each.kept.missing})


def _equal(first: Array, second: Array) -> bool:
    return np.array_equal(first, second, equal_nan=True)
