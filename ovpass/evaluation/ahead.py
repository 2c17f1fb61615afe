"""Predictions of several models in processes: those of the next models are made while the first are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.recording import Array, Recording
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.scoring import on_threads
from ovpass.evaluation.windows import Window
from ovpass.evaluation.workers import Workers
from ovpass.support.process_pool import ProcessPool

_ADVICE = "use fewer workers"


@dataclass(frozen=True)
class Job:
    """The predictions of one model on `windows`, by number; `make` prepares the model. A job can be pickled."""

    make: Callable[[], Prepared | None]
    name: str
    windows: Mapping[int, Window]

    def prepared(self) -> Prepared:
        """The model, of which it is known that it can be had."""
        prepared = self.make()
        assert prepared is not None
        return prepared

    def divided(self, workers: int) -> list[Job]:
        """The same as jobs on some of the windows each, one for each worker or window."""
        numbered = list(self.windows.items())
        parts = min(workers, len(numbered))
        return [replace(self, windows=dict(numbered[part::parts])) for part in range(parts)]


class Ahead:
    """Runs jobs in the processes of `workers`, which share the processors, and hands out their predictions in order.

    Each job is divided into windows. Predictions lie in `folder` until they are handed out.
    """

    def __init__(self, jobs: Sequence[Job], folder: Path, device: str, workers: Workers) -> None:
        self.width, threads = workers.processes, workers.threads_here
        divided = [(folder / f"ahead-{number}", job.divided(self.width)) for number, job in enumerate(jobs)]
        self._waiting = zip(jobs, divided, strict=True)
        self._pool: ProcessPool[None] = ProcessPool(self.width, _ADVICE)
        self._done = self._pool.run(
            partial(_predict, part, place, device, threads) for place, parts in divided for part in parts
        )

    def predictions(self) -> Iterator[tuple[int, Array]]:
        """Those of the next job, by the number of the window.

        Raises:
            OvpassError: if its model cannot be prepared or run.
            ExecutorError: if processes are lost again and again.
        """
        job, (place, parts) = next(self._waiting)
        list(islice(self._done, len(parts)))
        recording = Recording(place)
        for number in job.windows:
            yield number, recording.load(number)
            recording.drop(number)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


def _predict(job: Job, folder: Path, device: str, threads: int) -> None:
    prepared = job.prepared()
    if device == "CPU":
        prepared = on_threads(prepared, threads)
    folder.mkdir(exist_ok=True)
    recording, runner = Recording(folder), Runner(prepared, job.name, device)
    for number, window in job.windows.items():
        recording.save(number, runner.logits(window))
