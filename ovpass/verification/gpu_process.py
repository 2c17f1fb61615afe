"""Run a GPU plugin in a child process, which can crash, hang and have its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ovpass.errors import VerifyError
from ovpass.support.processes import end, how_it_ended, log_start, own_modules, python_module
from ovpass.verification.driver import SYSTEM_DRIVER, Driver
from ovpass.verification.observation import Observation, Order, observation_from_dict


def run_in_child(
    orders: Sequence[Order], environment: Mapping[str, str], timeout: float, driver: Driver = SYSTEM_DRIVER
) -> list[Observation] | None:
    """Carry out the orders in a child with these further environment variables; None where it does not see their GPU.

    The child is started with `driver`.

    Raises:
        VerifyError: if the child crashes, or takes longer than `timeout` seconds; it is gone then.
    """
    with tempfile.TemporaryDirectory(prefix="ovpass-gpu-") as name:
        folder = Path(name)
        (folder / "orders.json").write_text(json.dumps([asdict(order) for order in orders]), encoding="utf-8")
        _run(folder, {**driver.variables(), **environment}, timeout, driver)
        answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return None if answers is None else [observation_from_dict(answer) for answer in answers]


def _run(folder: Path, variables: Mapping[str, str], timeout: float, driver: Driver) -> None:
    command = driver.command(python_module("ovpass.verification.child", "orders.json", "answers.json"))
    log_start(command, variables)
    log = folder / "log.txt"
    with log.open("wb") as stream:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables, **own_modules()},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            code = child.wait(timeout)
        except BaseException as error:
            end(child)
            if isinstance(error, subprocess.TimeoutExpired):
                raise VerifyError(f"the GPU plugin took longer than {timeout:g} s") from None
            raise
    if code:
        raise VerifyError(f"the GPU plugin's process {how_it_ended(code, log.read_bytes())}")
