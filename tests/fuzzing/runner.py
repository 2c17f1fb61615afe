"""Run the command line in this process, and tell what went wrong."""

from __future__ import annotations

import io
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from unittest.mock import patch

from ovpass.cli.main import main

LONGEST = 10.0
"""Seconds of processor time that a command may take: a busy machine is no failure."""


class TooLongError(BaseException):
    """A command took more than LONGEST seconds; no `except Exception` swallows it."""


@dataclass(frozen=True)
class Ran:
    """An exit code with what was printed; `escaped` is the traceback of an exception that the command line let go."""

    code: int
    out: str
    err: str
    escaped: str | None = None


def run(arguments: Sequence[object]) -> Ran:
    """Run a command."""
    out, err = io.StringIO(), io.StringIO()
    code, escaped = 0, None
    with patch.object(sys, "argv", ["ovpass", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            with _limited():
                main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
        except TooLongError:
            escaped = f"took more than {LONGEST:.0f} s"
        except Exception:
            escaped = traceback.format_exc()
    return Ran(code, out.getvalue(), err.getvalue(), escaped)


@contextmanager
def _limited() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
