"""Run stages, each a command of ovpass, and keep what they found: an interrupted pipeline goes on where it was."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovpass.errors import OutputError, OvpassError
from ovpass.support.atomic_output import write_text
from ovpass.support.printable import shell_word
from ovpass.support.structured_text import MalformedError, parse_json, read_text
from ovpass.version import __version__

_LOGGER = logging.getLogger(__name__)

INPUTS = "ovpass-optimize.json"
_OF_OUTPUT = ("--json", "--quiet")
Run = Callable[[str, Sequence[str]], Any]
"""Runs a command with its arguments, and returns its JSON."""


@dataclass(frozen=True)
class Stage:
    """A command with its arguments, or why it is left out. `made` are the files and folders that it writes.

    `condition` says, before anything has run, on what it depends. `attempt` counts, from 1, where a command runs again.
    """

    command: str
    arguments: tuple[str, ...] = ()
    made: tuple[Path, ...] = ()
    left_out: str | None = None
    condition: str | None = None
    attempt: int = 1

    @property
    def file_name(self) -> str:
        """The name of the file with its JSON."""
        return f"{self.command}.json" if self.attempt == 1 else f"{self.command}-{self.attempt}.json"

    @property
    def line(self) -> str:
        """What a user would type."""
        return " ".join(["ovpass", self.command, *map(shell_word, self.arguments)])


@dataclass
class Stages:
    """Runs stages, whose JSON is kept in `folder`. `report` is told of each stage, with what it found."""

    folder: Path
    run: Run
    report: Callable[[Stage, Any], None]
    done: list[Stage] = field(default_factory=list)
    _anew: bool = False

    def begin(self, inputs: Sequence[Path]) -> None:
        """Start from `inputs`; what an earlier run made of others, or of some that have changed, is removed.

        Raises:
            OutputError: if the folder holds something else, or cannot be written.
        """
        state = [_state(path) for path in inputs]
        if self.folder.exists() and self._read(INPUTS) != state:
            if not self.folder.is_dir() or (any(self.folder.iterdir()) and not (self.folder / INPUTS).is_file()):
                raise OutputError(f"{self.folder}: holds no stages of ovpass optimize; name another folder by --work")
            shutil.rmtree(self.folder)
        write_text(self.folder / INPUTS, json.dumps(state))

    def leave(self) -> None:
        """Remove the folder if there is nothing in it to go on from."""
        if [path.name for path in self.folder.iterdir()] == [INPUTS]:
            shutil.rmtree(self.folder)

    def __call__(self, stage: Stage) -> Any:
        """Run a stage, unless it is left out or an earlier run has done it, and return its JSON (None if left out).

        What comes after a stage that runs is run, too: it works on what that one writes.

        Raises:
            OvpassError: as the command does.
        """
        self.done.append(stage)
        found = None if stage.left_out is not None else self._before(stage)
        if stage.left_out is not None:
            _LOGGER.info("left out %s: %s", stage.command, stage.left_out)
        elif found is not None:
            _LOGGER.info("done before: %s", stage.line)
        else:
            _LOGGER.info("runs %s", stage.line)
            self._anew = True
            found = self.run(stage.command, stage.arguments)
            write_text(self.folder / stage.file_name, json.dumps(found))
        self.report(stage, found)
        return found

    @property
    def last(self) -> dict[str, Stage]:
        """By command the stage that was run last: the one that counts."""
        return {stage.command: stage for stage in self.done}

    def file(self, command: str) -> Path:
        """Where the JSON of a command is, of its last attempt."""
        return self.folder / self.last[command].file_name

    def _before(self, stage: Stage) -> Any:
        """What the same command of the same version found before, if its output is still there."""
        found = self._read(stage.file_name)
        run = found.get("run", {}) if isinstance(found, dict) else {}
        arguments = [word for word in run.get("arguments", ()) if word not in _OF_OUTPUT]
        same = not self._anew and arguments == list(stage.arguments) and run.get("ovpass") == __version__
        return found if same and all(path.exists() for path in stage.made) else None

    def _read(self, name: str) -> Any:
        try:
            return parse_json(read_text(self.folder / name))
        except (MalformedError, OvpassError, OSError):
            return None


def _state(source: Path) -> list[Any]:
    """What changes when a source does: names, sizes and times of its files."""
    files = sorted(source.rglob("*")) if source.is_dir() else [source, source.with_suffix(".bin")]
    stats = [(path, path.stat()) for path in files if path.is_file()]
    return [str(source.resolve()), [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]]
