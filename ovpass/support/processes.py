"""Start and end child processes, and describe how they ended."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ovpass.errors import SettingsError

_LOGGER = logging.getLogger(__name__)

_SHOWN = 300
"""Characters of a child's last line."""
_LONGEST_WAIT = 1_000_000
"""Seconds. The system counts milliseconds in 32 bits."""

_HOME = str(Path(__file__).parents[2])
_WITHOUT_FOLDER = "import sys; sys.path[:] = filter(None, sys.path); "
"""Of -m and -c Python looks into the current folder first, where a downloaded model can have modules of its own."""
_RUN_MODULE = "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"


def python_code(code: str, *arguments: str) -> list[str]:
    """A command that runs code in this Python, with `sys` imported, and no module of the current folder."""
    return [sys.executable, "-c", _WITHOUT_FOLDER + code, *arguments]


def python_module(module: str, *arguments: str) -> list[str]:
    """The same for a module."""
    return python_code(_RUN_MODULE, module, *arguments)


def own_modules() -> dict[str, str]:
    """Environment variables with which a child finds the modules that this process does.

    Those in the current folder come last, behind the installed ones, unless ovpass itself is there.
    """
    paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100 - nothing is to be resolved
    here = os.getcwd()  # noqa: PTH109
    return {"PYTHONPATH": os.pathsep.join(sorted(paths, key=lambda path: path == here != _HOME))}


def log_start(command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Log that a child starts, with the environment variables that it has besides those of this process."""
    _LOGGER.debug("starts %s with %s", shlex.join(command), dict(variables))


def check_timeout(seconds: float) -> None:
    """Check that a child can be waited for this long.

    Raises:
        SettingsError: if it cannot.
    """
    if not 0 < seconds <= _LONGEST_WAIT:
        raise SettingsError(f"timeout {seconds:g}: it is a positive number of seconds, at most {_LONGEST_WAIT:,}")


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill the session that the child leads: a plugin's compiler can have helpers of its own."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def how_it_ended(code: int, printed: bytes) -> str:
    """Its exit code or signal, and the last line that it printed."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    return f"{how}: {lines[-1].strip()[:_SHOWN] if lines else 'it printed nothing'}"
