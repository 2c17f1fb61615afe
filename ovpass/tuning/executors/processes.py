"""Run measurements in processes on this machine, with the threads divided among them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ovpass.errors import ExecutorError
from ovpass.evaluation.comparison import TokenScores
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.executors.copies import Recipe, measure

_AHEAD = 2
"""Tasks for each worker that are handed out: one that runs and one that waits."""
_LOSSES = 3

_Waiting = deque[tuple[Task, "Future[list[TokenScores]]"]]


class Processes:
    """A pool of processes, each with its own copy of the model. When one is lost, its tasks run again."""

    def __init__(self, subject: Subject) -> None:
        self._workers = subject.workers
        self._recipe = Recipe.of(subject, self._workers.threads_here)
        self._pool = self._new_pool()

    @property
    def width(self) -> int:
        """How many processes there are."""
        return self._workers.processes

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each task, in the order of the tasks.

        Raises:
            ExecutorError: if processes end again and again.
        """
        waiting: _Waiting = deque()
        for task in tasks:
            waiting.append((task, self._submit(task)))
            if len(waiting) >= _AHEAD * self.width:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def _first(self, waiting: _Waiting) -> list[TokenScores]:
        """The result of the first task; a broken pool is replaced, and what waits runs again."""
        for _ in range(_LOSSES):
            try:
                scores = waiting[0][1].result()
            except BrokenProcessPool:
                self._pool = self._new_pool()
                again = [(task, self._submit(task)) for task, _ in waiting]
                waiting.clear()
                waiting.extend(again)
            else:
                waiting.popleft()
                return scores
        raise ExecutorError(
            f"workers: processes ended {_LOSSES} times before they answered, perhaps for want of memory; "
            "use fewer workers and run the same command again: measurements are kept"
        )

    def _submit(self, task: Task) -> Future[list[TokenScores]]:
        try:
            return self._pool.submit(measure, self._recipe, task)
        except BrokenProcessPool:
            self._pool = self._new_pool()
            return self._pool.submit(measure, self._recipe, task)

    def _new_pool(self) -> ProcessPoolExecutor:
        # A process with threads, as OpenVINO's are, cannot be forked safely.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.width, context, initializer=_follow_parent)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
