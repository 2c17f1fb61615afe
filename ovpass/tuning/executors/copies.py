"""What runs in a worker: a copy of the switched model, made from a recipe, after a check of the host."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ovpass.errors import ExecutorError
from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.ir.fingerprint import fingerprint
from ovpass.support.cpu_features import cpu_kind
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.switched_model import SwitchedModel
from ovpass.version import __version__

_FREE = ("cpu", "openvino")
"""What may differ from host to host where the user says so. Another model or ovpass gives other numbers."""


@dataclass(frozen=True)
class Host:
    """What the numbers of a host depend on: the hash of its model, versions, and the kind of its CPU."""

    model: str
    ovpass: str
    openvino: str
    cpu: str


@dataclass(frozen=True)
class Recipe:
    """What a worker makes its copy of the model from; small, and it can be pickled.

    `xml` is a path that the worker can read. `host` is what its host has to be like; it is None where all workers
    are on this machine. `longest` is the window that the copy is warmed up with. The copy computes on `threads`.
    """

    xml: str
    longest: Window
    symmetric: bool
    half: bool
    threads: int
    host: Host | None = None
    mixed: bool = False

    @classmethod
    def of(cls, subject: Subject, threads: int) -> Recipe:
        """The recipe for copies of this subject's model."""
        longest = max(subject.windows, key=lambda window: len(window.ids))
        return cls(str(subject.ir.xml.resolve()), longest, subject.symmetric, subject.half, threads)

    def on(self, host: Host, *, mixed: bool) -> Recipe:
        """The same for hosts like this one."""
        return replace(self, host=host, mixed=mixed)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells copies apart."""
        return (self.xml, self.longest.ids.tobytes(), self.symmetric, self.half, self.threads, self.host, self.mixed)


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


def describe(xml: str) -> Host:
    """What this host is like.

    Raises:
        ExecutorError: if it cannot read the model.
    """
    import openvino as ov  # noqa: PLC0415 - not needed to print help

    try:
        model = fingerprint(IrFile(Path(xml)), ())
    except OSError as error:
        raise ExecutorError(
            f"{error.filename or xml}: a worker cannot read it: {error.strerror or error}; "
            "put the model where all workers have it under the same path"
        ) from error
    return Host(model, __version__, ov.get_version(), cpu_kind())


def check_host(found: Host, expected: Host, where: str, *, mixed: bool) -> None:
    """Refuse a host whose numbers would be others.

    Raises:
        ExecutorError: with what differs.
    """
    for name, value in asdict(expected).items():
        own = getattr(found, name)
        if own != value and not (mixed and name in _FREE):
            hint = "; --mixed-hosts allows it" if name in _FREE else ""
            raise ExecutorError(f"{where}: {_WORDS[name]} is {own}, elsewhere {value}{hint}")


_WORDS = {"model": "the hash of the model", "ovpass": "ovpass", "openvino": "OpenVINO", "cpu": "the CPU"}


def _copy(recipe: Recipe) -> SwitchedModel:
    if recipe.key not in _copies:
        _copies.clear()
        if recipe.host is not None:
            check_host(describe(recipe.xml), recipe.host, "a worker that joined", mixed=recipe.mixed)
        windows: Sequence[Window] = [recipe.longest]
        _copies[recipe.key] = SwitchedModel(
            IrFile(Path(recipe.xml)),
            windows,
            symmetric=recipe.symmetric,
            half=recipe.half,
            threads=recipe.threads,
        )
    return _copies[recipe.key]
