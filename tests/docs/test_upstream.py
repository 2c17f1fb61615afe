"""The reproducers of docs/upstream show what their pages say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from ovpass.targets.names import get_profile
from ovpass.verification.driver import current_driver
from ovpass.verification.simulated_gpu import RECORDING
from tests.documents import ROOT

UPSTREAM = ROOT / "docs/upstream"
SHOWN = {
    "division_by_zero": ("arc-b580", -signal.SIGFPE, "ends the process"),
    "fused_trio": ("arc-b580", 0, "element types are inconsistent"),
    "microscaling": ("nova-lake", 0, "CL_BUILD_PROGRAM_FAILURE"),
}
ON_THE_CPU = {
    "element_scales": (-signal.SIGFPE, "ends the process"),
    "grown_shape": (0, "3 of 3 first inferences are wrong"),
}


def test_each_has_a_page() -> None:
    assert {path.stem for path in UPSTREAM.glob("*.py")} == {*SHOWN, *ON_THE_CPU}
    for name in (*SHOWN, *ON_THE_CPU):
        assert f"{name}.py" in (UPSTREAM / f"{name.replace('_', '-')}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHOWN)
def test_it_fails_as_told(simulated: Callable[[str], object], tmp_path: Path, name: str) -> None:
    """When this fails, the fault is mended: tell so in the table of known issues."""
    device, code, words = SHOWN[name]
    simulated(device)
    driver = current_driver()
    variables = {**driver.variables(), **RECORDING, **get_profile(device).environment}
    ran = run(driver.command([sys.executable, str(UPSTREAM / f"{name}.py")]), tmp_path, variables)
    assert (ran.returncode, words in ran.stdout) == (code, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_THE_CPU)
def test_it_fails_on_the_cpu_as_told(tmp_path: Path, name: str) -> None:
    ran = run([sys.executable, str(UPSTREAM / f"{name}.py")], tmp_path, {})
    code, words = ON_THE_CPU[name]
    assert (ran.returncode, words in ran.stdout) == (code, True)


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
