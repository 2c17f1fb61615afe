"""Run measurements in processes on this machine, with the threads divided among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from ovpass.evaluation.comparison import TokenScores
from ovpass.support.process_pool import ProcessPool
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.executors.copies import Recipe, measure

_ADVICE = "use fewer workers and run the same command again: measurements are kept"


class Processes:
    """A pool of processes, each with its own copy of the model. When one is lost, its tasks run again."""

    def __init__(self, subject: Subject) -> None:
        self._recipe = Recipe.of(subject, subject.workers.threads_here)
        self._pool: ProcessPool[list[TokenScores]] = ProcessPool(subject.workers.processes, _ADVICE)

    @property
    def width(self) -> int:
        """How many processes there are."""
        return self._pool.width

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each task, in the order of the tasks.

        Raises:
            ExecutorError: if processes end again and again.
        """
        return self._pool.run(partial(measure, self._recipe, task) for task in tasks)
