"""Score the windows of candidates on this machine, with predictions without quantization kept on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ovpass.evaluation.ahead import Ahead, Job
from ovpass.evaluation.kept_scores import WindowScores
from ovpass.evaluation.predictions import Predictor
from ovpass.evaluation.preparation import Prepared, has_clean, prepare, prepare_clean, prepare_reference
from ovpass.evaluation.recording import Array, Recording
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.scoring import Asked, Comparisons, Exact, differ, reads_cache
from ovpass.evaluation.workers import Workers
from ovpass.support.progress import Progress


class LocalScores:
    """Scores windows one model after the other. What models predict without quantization lies in `folder`, by path.

    With `blockwise` one block of a model is in memory at a time; with a count of `workers` predictions are made in that
    many processes.
    """

    def __init__(
        self, comparisons: Comparisons, folder: Path, workers: Workers, progress: Progress, *, blockwise: bool
    ) -> None:
        self._work, self._folder, self._progress = comparisons, folder, progress
        device = comparisons.device
        ahead = None if workers.count is None else Ahead(list(self._jobs()), folder, device, workers)
        self._predictor = Predictor(device, len(comparisons.windows), blockwise, ahead)
        self._own: dict[Path, Recording | None] = {}

    def start(self, prepared: Prepared) -> None:
        """Predict what candidates are compared with.

        Raises:
            OvpassError: if the reference cannot be run.
        """
        self._truth = self._record(prepared, self._reference_job(), self._progress)
        if self._work.reference.plain:
            self._own[self._work.reference.path.resolve()] = self._truth

    def scores(self, asked: Asked, prepared: Prepared, progress: Progress) -> Iterator[tuple[int, WindowScores]]:
        """Those of a candidate's missing windows.

        Raises:
            OvpassError: if a model cannot be run or compared.
        """
        own, label, missing = self._own_recording(asked, progress), asked.candidate.label, asked.kept.missing
        cached = reads_cache(prepared, self._work.chunk)
        exact_cache = self._exact_cache(prepared, label, progress) if cached and 0 in missing else None
        started = time.perf_counter()
        for number, logits in self._predictor.predictions(prepared, self._candidate_job(asked), progress):
            found = self._exact(number, own).compare(logits, self._work.windows[number], label)
            if cached:
                found = replace(found, changed=number == 0 and exact_cache is not None and differ(exact_cache, logits))
            yield number, replace(found, seconds=time.perf_counter() - started)
            started = time.perf_counter()

    def close(self) -> None:
        """End the processes, if any."""
        if self._predictor.ahead is not None:
            self._predictor.ahead.close()

    def _jobs(self) -> Iterator[Job]:
        """All predictions in the order in which they are asked for."""
        work = self._work
        known = {work.reference.path.resolve()} if work.reference.plain else set()
        jobs = [self._reference_job()]
        for each in work.asked:
            if each.path not in known and has_clean(each.candidate):
                jobs.append(self._clean_job(each))
            known.add(each.path)
            jobs.append(self._candidate_job(each))
        return (job for job in jobs if job.windows)

    def _reference_job(self) -> Job:
        work = self._work
        make = partial(prepare_reference, work.reference, work.device, work.chunk)
        return self._job(make, work.reference.label, work.missing())

    def _clean_job(self, asked: Asked) -> Job:
        make = partial(prepare_clean, asked.candidate, self._work.chunk)
        return self._job(make, f"{asked.candidate.path} (clean)", self._work.missing(asked.path))

    def _candidate_job(self, asked: Asked) -> Job:
        make = partial(prepare, asked.candidate, self._work.device, self._work.chunk)
        return self._job(make, asked.candidate.label, asked.kept.missing)

    def _job(self, make: Callable[[], Prepared | None], name: str, numbers: Sequence[int]) -> Job:
        return Job(make, name, {number: self._work.windows[number] for number in numbers})

    def _own_recording(self, asked: Asked, progress: Progress) -> Recording | None:
        """The predictions of the candidate's own weights, if they can be had without quantization."""
        if asked.path not in self._own:
            job = self._clean_job(asked)
            clean = job.make()
            self._own[asked.path] = None if clean is None else self._record(clean, job, progress)
        return self._own[asked.path]

    def _record(self, prepared: Prepared, job: Job, progress: Progress) -> Recording:
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        recording = Recording(folder)
        for number, logits in self._predictor.predictions(prepared, job, progress):
            recording.save(number, logits)
        return recording

    def _exact(self, number: int, own: Recording | None) -> Exact:
        truth = self._truth.load(number)
        return Exact(truth, truth if own is self._truth else None if own is None else own.load(number))

    def _exact_cache(self, prepared: Prepared, name: str, progress: Progress) -> Array:
        """The predictions of the first window with a cache in f32."""
        progress(f"{name}: checking that the KV cache is read")
        runner = Runner(prepared.with_exact_cache(), f"{name} (f32 KV cache)", self._work.device)
        return np.array(runner.logits(self._work.windows[0]))
