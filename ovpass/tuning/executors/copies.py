"""What runs in a worker: a copy of the switched model, made from a recipe, after a check of the host."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.hosts import Likeness
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.switched_model import SwitchedModel


@dataclass(frozen=True)
class Recipe:
    """What a worker makes its copy of the model from; small, and it can be pickled.

    `xml` is a path that the worker can read. `alike` is what its host has to be like; it is None where all workers
    are on this machine. `longest` is the window that the copy is warmed up with. The copy computes on `threads`.
    """

    xml: str
    longest: Window
    symmetric: bool
    half: bool
    threads: int
    alike: Likeness | None = None

    @classmethod
    def of(cls, subject: Subject, threads: int) -> Recipe:
        """The recipe for copies of this subject's model."""
        longest = max(subject.windows, key=lambda window: len(window.ids))
        return cls(str(subject.ir.xml.resolve()), longest, subject.symmetric, subject.half, threads)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells copies apart."""
        return (self.xml, self.longest.ids.tobytes(), self.symmetric, self.half, self.threads, self.alike)


_copies: dict[tuple[object, ...], SwitchedModel] = {}
_one_at_a_time = threading.Lock()


def measure(recipe: Recipe, task: Task) -> list[TokenScores]:
    """The scores of a task, on the copy of this process, which is made first where there is none.

    Raises:
        ExecutorError: if this host is not like the recipe's.
        ModelError: if the model cannot be read or run.
    """
    with _one_at_a_time:
        return _copy(recipe).scores(task.choice, task.windows)


def _copy(recipe: Recipe) -> SwitchedModel:
    if recipe.key not in _copies:
        _copies.clear()
        if recipe.alike is not None:
            recipe.alike.require_here()
        windows: Sequence[Window] = [recipe.longest]
        _copies[recipe.key] = SwitchedModel(
            IrFile(Path(recipe.xml)),
            windows,
            symmetric=recipe.symmetric,
            half=recipe.half,
            threads=recipe.threads,
        )
    return _copies[recipe.key]
