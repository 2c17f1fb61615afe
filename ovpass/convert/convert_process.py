"""Converters in a process of their own: they print, patch modules and can crash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ovpass.child_process import how_it_ended, own_modules
from ovpass.errors import ModelError

_OFFLINE = {"HF_HUB_OFFLINE": "1", "CI": "true"}
"""OpenVINO's converter and NNCF send usage statistics by network, other than in CI."""


@contextmanager
def offline() -> Iterator[None]:
    """Keep this process's converters, and the processes started meanwhile, from the network."""
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(_OFFLINE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_python(arguments: Sequence[str], failure: str) -> None:
    """Run this Python with arguments and with this process's modules; what it prints is kept.

    Raises:
        ModelError: `failure` and the last that it printed, where it does not end well.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **own_modules()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise ModelError(f"{failure}; its process {how_it_ended(done.returncode, done.stdout)}")
