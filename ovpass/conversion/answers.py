"""What a converter in a separate process tells the one that started it: its outcome, or the error that stopped it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ovpass import errors
from ovpass.conversion.isolated_process import run_python
from ovpass.conversion.requantization import Requantized
from ovpass.conversion.source import Outcome
from ovpass.support.processes import python_module
from ovpass.support.structured_text import parse_json, read_text


def ask(module: str, arguments: Sequence[str], answer: Path, failure: str) -> Outcome:
    """Run a module that calls `reply` with its last argument, the file `answer`; returns the outcome.

    Raises:
        OvpassError: the one that the module raised.
        OSError: likewise; whoever stages the output says which one it is.
        ModelError: `failure` and the last that it printed, where its process does not end well.
    """
    run_python(python_module(module, *arguments, str(answer)), failure)
    found = parse_json(read_text(answer))
    if "os_error" in found:
        raise OSError(*found["os_error"])
    if "error" in found:
        raise getattr(errors, found["error"])(found["message"])
    requantized = found.pop("requantized")
    return Outcome(**found, requantized=None if requantized is None else Requantized(**requantized))


def reply(answer: Path, work: Callable[[], Outcome]) -> None:
    """Do the work, and write the outcome that it returns, or the OvpassError or OSError that it raises."""
    try:
        found = asdict(work())
    except errors.OvpassError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    except OSError as error:
        name = None if error.filename is None else os.fsdecode(error.filename)
        found = {"os_error": [error.errno, error.strerror or str(error), name]}
    answer.write_text(json.dumps(found), encoding="utf-8")
