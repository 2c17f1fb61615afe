"""Criteria for a broken model: too much KL divergence, or a failing command."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ovpass.errors import OutputError, SettingsError
from ovpass.ir.files import IrFile
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import EXEMPT, Decision, Plan
from ovpass.settings.settings import Rule
from ovpass.support.store import Store
from ovpass.transformation.transform import transform
from ovpass.tuning.executors import Task
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.switched_model import Choice, Cost

_MODEL, _VARIABLE = "{model}", "OVPASS_MODEL"
_SHOWN = 300
_CANNOT_TELL, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127
_REFUSED = {
    _CANNOT_TELL: "cannot test this model",
    _NOT_EXECUTABLE: "cannot be executed",
    _NOT_FOUND: "is not found",
}


class TooFar:
    """Whether the mean KL divergence from the exact model is more than `max_kl` nats per token.

    `choice` gives the group sizes of all sites that can be asked about, by name. Measurements are kept: an
    interrupted search asks again only what was not answered.
    """

    def __init__(self, experiment: Experiment, choice: Choice, max_kl: float) -> None:
        self._experiment, self._choice, self._limit = experiment, choice, max_kl
        self._bits = {name: 1 << number for number, name in enumerate(choice)}
        self._store: Store = experiment.store("bisect", choice)

    def __call__(self, names: Sequence[str]) -> bool:
        """Whether quantizing just these sites costs more; a divergence that is no number is more."""
        return not self.cost(names).mean <= self._limit

    def cost(self, names: Sequence[str]) -> Cost:
        """What quantizing just these sites costs."""
        if not names:
            return Cost(0.0, 0.0, 0.0, 0.0)
        self._measure([names])
        known = self._store.get(self._key(names), Cost)
        assert known is not None  # it was just measured, or an error raised
        return known

    def ahead(self, sets: Iterable[Sequence[str]]) -> None:
        """Measure the first set, and with it as many of the others as the executor runs at a time."""
        if (width := self._experiment.width) > 1:
            self._measure(list(islice(sets, width)))

    def _measure(self, sets: Sequence[Sequence[str]]) -> None:
        """Measure these sets, unless the first, which is needed now, is known."""
        if not self._unknown(sets[0]):
            return
        missing = [names for names in sets if self._unknown(names)]
        tasks = (Task({name: self._choice[name] for name in names}, self._experiment.windows) for names in missing)
        for names, scores in zip(missing, self._experiment.run(tasks), strict=True):
            self._store.put(self._key(names), Cost.of(scores))

    def _unknown(self, names: Sequence[str]) -> bool:
        return bool(names) and self._store.get(self._key(names), Cost) is None

    def _key(self, names: Sequence[str]) -> str:
        return f"{sum(self._bits[name] for name in names):x}"


@dataclass(frozen=True)
class CommandFails:
    """Whether the user's command fails on a model in which just some sites are quantized.

    The shell runs `command` with the path of that model in place of {model}, or at its end, and in $OVPASS_MODEL. Exit
    code 0 is good, 125 cannot tell, any other is bad, as with `git bisect run`; so is an end by a signal, for a model
    can crash a plugin. `names` are the sites that can be asked about. With `native` the others are exempted and the
    plugin does the rest; without, all is emulated in the graph. `output` takes what the command prints.
    """

    experiment: Experiment
    names: Sequence[str]
    command: str
    native: bool = False
    output: Callable[[str], None] = lambda _: None

    def __call__(self, names: Sequence[str]) -> bool:
        """Write the model with just these sites quantized, and run the command on it.

        Raises:
            SettingsError: if the command cannot be run or cannot tell, or a site cannot be exempted.
        """
        plan = self._plan(frozenset(names))
        source = Path(self.experiment.model)
        name = "model" if source.is_dir() else source.name
        with _workplace(self.experiment.ir, source) as folder:
            return self._run(transform(source, folder / name, plans=plan).output)

    def _run(self, model: Path) -> bool:
        done = subprocess.run(
            with_model(self.command),
            shell=True,
            env={**os.environ, _VARIABLE: str(model)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        self.output(done.stdout)
        if done.returncode in _REFUSED:
            said = "".join(f": {line.strip()}" for line in done.stdout.strip().splitlines()[-1:])
            raise SettingsError(
                f"check {self.command!r} {_REFUSED[done.returncode]} (exit code {done.returncode}){said[:_SHOWN]}"
            )
        return done.returncode != 0

    def _plan(self, chosen: frozenset[str]) -> Plan:
        out = [name for name in self.names if name not in chosen]
        if self.native:
            return self._native_plan(out)
        plan = self.experiment.plan
        exempt = frozenset(out)
        return replace(plan, decisions=tuple(_exempted(d) if d.name in exempt else d for d in plan.decisions))

    def _native_plan(self, out: Sequence[str]) -> Plan:
        settings = self.experiment.settings
        rules = (*(Rule(match=name, exempt=True) for name in out), *settings.rules)
        try:
            return plan_sites(self.experiment.sites, replace(settings, rules=rules), self.experiment.document.metadata)
        except SettingsError as error:
            raise SettingsError(
                f"{error}; the search exempts each site in turn: "
                "choose another --exempt-with, or search with --lowering emulate"
            ) from error


def with_model(command: str) -> str:
    """The command with a quoted $OVPASS_MODEL in place of {model}, or at its end if it names neither.

    The shell itself puts the path there, so no character of it is ever read as a command.

    Raises:
        SettingsError: if {model} stands inside quotes, where a quoted variable would end them.
    """
    variable = f'"${_VARIABLE}"'
    if _MODEL not in command:
        return command if _VARIABLE in command else f"{command} {variable}"
    quote = ""
    for position, character in enumerate(command):
        if command.startswith(_MODEL, position) and quote:
            raise SettingsError(
                f"check {command!r}: {_MODEL} is inside quotes; remove them, or write ${_VARIABLE} in double quotes"
            )
        if character in "\"'" and quote in ("", character) and not _escaped(command, position, quote):
            quote = "" if quote else character
    return command.replace(_MODEL, variable)


def _escaped(command: str, position: int, quote: str) -> bool:
    """Whether backslashes take away what a quote means; within single quotes they do not."""
    before = command[:position]
    return quote != "'" and (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _exempted(decision: Decision) -> Decision:
    reason = "left out to find what breaks"
    return replace(
        decision, action=EXEMPT, reason=reason, group_size=None, threshold=None, axis=None, symmetric=None, method=None
    )


@contextmanager
def _workplace(ir: IrFile, root: Path) -> Iterator[Path]:
    """A temporary folder for models like the one at `root`."""
    place = _place(ir, root.resolve())
    try:
        folder = Path(tempfile.mkdtemp(prefix="ovpass-bisect-", dir=place))
    except OSError as error:
        raise OutputError(f"{place}: models to check cannot be written there: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(ir: IrFile, root: Path) -> Path:
    """The folder for temporary files, or the one that the model lies in where only there weights can be linked."""
    temporary = Path(tempfile.gettempdir())
    beside = root.parent if root.is_dir() else root.parent.parent
    device = ir.bin.stat().st_dev
    linked = temporary.stat().st_dev == device
    better = beside.stat().st_dev == device and os.access(beside, os.W_OK | os.X_OK)
    return beside if better and not linked else temporary
