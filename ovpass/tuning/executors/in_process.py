"""Run one measurement after the other in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ovpass.evaluation.comparison import TokenScores
from ovpass.tuning.executors.base import Subject, Task


@dataclass(frozen=True)
class InProcess:
    """Uses the subject's own switched model."""

    subject: Subject
    width: int = 1

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each task, measured when they are asked for."""
        for task in tasks:
            yield self.subject.switched.scores(task.choice, task.windows)
