"""The reproducers of docs/upstream show what their pages say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
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


def test_each_has_a_page() -> None:
    assert {path.stem for path in UPSTREAM.glob("*.py")} == set(SHOWN)
    for name in SHOWN:
        assert f"{name}.py" in (UPSTREAM / f"{name.replace('_', '-')}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHOWN)
def test_it_fails_as_told(simulated: Callable[[str], object], tmp_path: Path, name: str) -> None:
    """When this fails, the fault is mended: tell so in the table of known issues."""
    device, code, words = SHOWN[name]
    simulated(device)
    driver = current_driver()
    ran = subprocess.run(
        driver.command([sys.executable, str(UPSTREAM / f"{name}.py")]),
        cwd=tmp_path,
        env={**os.environ, **driver.variables(), **RECORDING, **get_profile(device).environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.returncode, words in ran.stdout) == (code, True)
