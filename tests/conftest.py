"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from ovpass.errors import NoDeviceError
from ovpass.verification import Seen, SimulatedGpu
from tests.cli.command import LLAMA, CommandLine
from tests.simulated_gpu import Job, compile_on_simulated_gpu

MARKS = {"simulated_gpu": "gpu", "browser": "browser", "smollm2": "llm", "minilm": "llm"}
"""The marker of the tests that use a fixture, directly or through another one."""

# A busy machine is no reason to fail.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they use, before pytest selects by markers."""
    for item in items:
        for fixture in MARKS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKS[fixture])


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


@pytest.fixture
def ovpass(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return CommandLine(capsys)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A model folder of its own."""
    return Path(shutil.copytree(LLAMA, tmp_path / "llama"))
