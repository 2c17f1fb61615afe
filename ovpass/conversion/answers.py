"""What a converter in a separate process tells the process that started it: notes, or the error that stopped it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ovpass import errors
from ovpass.conversion.isolated_process import run_python
from ovpass.support.processes import python_module
from ovpass.support.structured_text import parse_json, read_text


def ask(module: str, arguments: Sequence[str], answer: Path, failure: str) -> list[str]:
    """Run a module that calls `reply` with its last argument, the file `answer`; returns the notes.

    Raises:
        OvpassError: the one that the module raised.
        ModelError: `failure` and the last that it printed, where its process does not end well.
    """
    run_python(python_module(module, *arguments, str(answer)), failure)
    found = parse_json(read_text(answer))
    if "error" in found:
        raise getattr(errors, found["error"])(found["message"])
    notes: list[str] = found["notes"]
    return notes


def reply(answer: Path, work: Callable[[], Sequence[str]]) -> None:
    """Do the work, and write the notes that it returns, or the OvpassError that it raises."""
    try:
        found: dict[str, object] = {"notes": list(work())}
    except errors.OvpassError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    answer.write_text(json.dumps(found), encoding="utf-8")
