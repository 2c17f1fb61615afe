"""What processes started by this one have in common: its modules, an end, and words for how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

_SHOWN = 300
"""Characters of a child's last line."""


def own_modules() -> dict[str, str]:
    """Environment variables with which a child finds the modules that this process does."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


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
