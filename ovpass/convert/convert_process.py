"""Converters in a process of their own: they print, patch modules and can crash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from ovpass.child_process import how_it_ended, own_modules
from ovpass.errors import ModelError

_OFFLINE = {"HF_HUB_OFFLINE": "1"}


def run_python(arguments: Sequence[str], failure: str) -> None:
    """Run this Python with arguments, offline and with this process's modules; what it prints is kept.

    Raises:
        ModelError: `failure` and the last that it printed, where it does not end well.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **_OFFLINE, **own_modules()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise ModelError(f"{failure}; its process {how_it_ended(done.returncode, done.stdout)}")
