"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

from tests.simulated_gpu import NoSimulatedGpuError, compile_on_simulated_gpu, require_simulated_gpu

# The same examples every time: a run that fails can be run again. Search for new ones with HYPOTHESIS_PROFILE=default.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))


@pytest.fixture(scope="session")
def simulated_gpu() -> Callable[..., object]:
    """`compile_on_simulated_gpu`, where there is a driver; elsewhere the test is skipped, or fails under CI."""
    try:
        require_simulated_gpu()
    except NoSimulatedGpuError as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(str(error))
    return compile_on_simulated_gpu
