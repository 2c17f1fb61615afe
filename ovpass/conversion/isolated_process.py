"""Run converters in a separate process: they print, patch modules and can crash."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ovpass.errors import ModelError
from ovpass.support.processes import end, how_it_ended, log_start, own_modules

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


def run_python(command: Sequence[str], failure: str) -> None:
    """Run a command of `python_code` or `python_module` with this process's modules; what it prints is kept.

    It and whatever it started are gone in the end, whatever happens.

    Raises:
        ModelError: `failure` and the last that it printed, where it does not end well.
    """
    log_start(command, {})
    child = subprocess.Popen(
        command,
        env={**os.environ, **own_modules()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed, _ = child.communicate()
    except BaseException:
        end(child)
        raise
    if child.returncode:
        raise ModelError(f"{failure}; its process {how_it_ended(child.returncode, printed)}")
