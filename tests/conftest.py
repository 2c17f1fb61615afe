"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest

from ovpass.errors import NoDeviceError
from ovpass.verification import Seen, SimulatedGpu
from tests.simulated_gpu import Job, compile_on_simulated_gpu


@pytest.fixture(scope="session")
def simulated_gpu() -> Callable[[Sequence[Job], float | None], list[Seen]]:
    """`compile_on_simulated_gpu`, where there is a driver; elsewhere the test is skipped, or fails under CI."""
    try:
        SimulatedGpu(timeout=60).require()
    except NoDeviceError as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(str(error))
    return compile_on_simulated_gpu
