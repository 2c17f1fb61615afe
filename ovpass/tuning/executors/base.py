"""The interface of an executor: it measures sets of sites on a model and yields scores in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.windows import Window
from ovpass.evaluation.workers import Workers
from ovpass.ir.files import IrFile
from ovpass.support.progress import Progress
from ovpass.tuning.switched_model import Choice, SwitchedModel


@dataclass(frozen=True)
class Task:
    """One measurement: the sites of `choice` are quantized, the others exact."""

    choice: Choice
    windows: Sequence[Window]


class Subject(Protocol):
    """The model under study, with all that a copy of its switched model is built from."""

    @property
    def ir(self) -> IrFile:
        """The IR."""

    @property
    def windows(self) -> Sequence[Window]:
        """The windows that measurements use, the longest among them."""

    @property
    def symmetric(self) -> bool:
        """Whether activations are quantized without a zero point."""

    @property
    def half(self) -> bool:
        """Whether activations are quantized in half precision."""

    @property
    def hidden(self) -> Path:
        """The folder for what blocks hand on, if they run one at a time."""

    @property
    def progress(self) -> Progress:
        """What is told of the parts of a measurement."""

    @property
    def workers(self) -> Workers:
        """The workers that were asked for."""

    @property
    def switched(self) -> SwitchedModel:
        """The switched model of this process, compiled when it is first asked for."""


class Executor(Protocol):
    """Runs measurements of one subject, `width` of them at a time."""

    @property
    def width(self) -> int:
        """How many measurements run at a time: guesses are worth no more than that."""

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each window for each task, in the order of the tasks.

        Tasks are taken from the iterable only when there is room for them.

        Raises:
            OvpassError: if the model cannot be run.
            ExecutorError: if there are no workers, or they are lost for good.
        """


Make = Callable[[Subject], Executor]
