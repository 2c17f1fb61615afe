"""Processors: each process of the suite has a share of its own, and commands that need all of them get all."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_ALL = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
_COMMAND = """
import json, os, sys
processors = json.loads(sys.argv[1])
if processors:
    os.sched_setaffinity(0, processors)
sys.argv = ["ovpass", *sys.argv[2:]]
from ovpass.cli.main import main
main()
"""


def take_share(number: int, workers: int) -> None:
    """Leave the other processors to the other workers, so that their threads do not compete."""
    if _ALL:
        os.sched_setaffinity(0, _ALL[number::workers] or _ALL)


def on_all_processors(*args: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own.

    With a single processor the CPU plugin runs one request at a time, and gives nonsense for shapes that do not fit.
    """
    words = [sys.executable, "-c", _COMMAND, json.dumps(_ALL), *map(str, args)]
    return subprocess.run(words, check=False, capture_output=True, text=True)
