"""Fixtures for all tests."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from ovpass.errors import NoDeviceError, OvpassError
from ovpass.support.cpu_features import has_vnni
from ovpass.support.signals import ENDING
from ovpass.verification import Observation, SimulatedGpu
from tests.cli.command import LLAMA, CommandLine
from tests.missing import lacking
from tests.processors import take_share
from tests.simulated_gpu import Job, compile_on_simulated_gpu

MARKS = {
    "simulated_gpu": "gpu",
    "simulated": "gpu",
    "system_gpu": "gpu",
    "browser": "browser",
    "smollm2": "llm",
    "minilm": "llm",
}
"""The marker of the tests that use a fixture, directly or through another one."""
LONGEST_FIRST = ("llm", "gpu", "slow")

WITHOUT_VNNI = pytest.mark.xfail(
    strict=True,
    raises=(AssertionError, OvpassError, subprocess.CalledProcessError),
    reason="the CPU plugin quantizes nothing on a CPU without VNNI, and its 8-bit products saturate",
)

# Tests send signals to processes that they start, which ignore those that this one ignores, as under nohup or a
# shell's &.
for number in ENDING:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# A busy machine is no reason to fail.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")


def shown_by_vnni_alone(item: pytest.Item) -> bool:
    """Whether a test carries the marker `vnni`, and is none of the cases that hold on any CPU."""
    marker = item.get_closest_marker("vnni")
    if marker is None:
        return False
    holds_anywhere = marker.kwargs.get("not_for")
    return holds_anywhere is None or not re.search(holds_anywhere, item.name)


def pytest_configure(config: pytest.Config) -> None:
    """Divide the processors where several processes share the work."""
    if worker := getattr(config, "workerinput", None):
        take_share(int(worker["workerid"].removeprefix("gw")), worker["workercount"])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they use, before pytest selects by markers.

    On a CPU without VNNI, what needs it has to fail: the CPU plugin quantizes nothing there.
    Where processes share the work, files that take long go first, so that no process waits for another in the end.
    """
    for item in items:
        for fixture in MARKS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKS[fixture])
        if shown_by_vnni_alone(item) and not has_vnni():
            item.add_marker(WITHOUT_VNNI)
    if hasattr(config, "workerinput"):
        long = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in LONGEST_FIRST}
        items.sort(key=lambda item: [item.path not in paths for paths in long.values()])


@pytest.fixture(scope="session", autouse=True)
def no_statistics() -> Iterator[None]:
    """OpenVINO's converter, called without ovpass, would tell by network that it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openvino_telemetry.utils.sender.TelemetrySender.send", lambda *_: None)
        yield


Compile = Callable[[Sequence[Job]], list[Observation]]


@pytest.fixture(scope="session")
def simulated() -> Callable[[str], Compile]:
    """`compile_on_simulated_gpu` for the device of a name.

    Where there is no driver that knows the device, the test is skipped, or fails under CI.
    """

    def device(name: str) -> Compile:
        try:
            SimulatedGpu(name, timeout=300).require()
        except NoDeviceError as error:
            lacking(str(error))
        return partial(compile_on_simulated_gpu, profile=name)

    return device


@pytest.fixture(scope="session")
def simulated_gpu(simulated: Callable[[str], Compile]) -> Compile:
    """The same for an Arc A770, which every driver knows."""
    return simulated("arc-a770")


@pytest.fixture
def ovpass(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return CommandLine(capsys)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A model folder of its own."""
    return Path(shutil.copytree(LLAMA, tmp_path / "llama"))
