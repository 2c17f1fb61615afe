"""What a plan from elsewhere may bring into an environment and into files for a shell."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovpass.errors import PlanError
from ovpass.planning.plan import load_plans
from ovpass.transformation.run_notes import RunNotes
from tests.cli.command import LLAMA, CommandLine

TOUCH = "$(touch ran)"
FOREIGN: list[dict[str, Any]] = [
    {"run_environment": {"X": "1"}},
    {"run_environment": {"LD_PRELOAD": "/tmp/x.so"}},
    {"run_environment": {"OV_KV_CACHE_PRECISION": TOUCH}},
    {"run_environment": {"OV_KV_CACHE_PRECISION": "u8; touch ran"}},
    {"run_environment": {"Y; touch ran; Z": "1"}},
    {"run_environment": {"OV_KV_CACHE_PRECISION\ntouch ran": "u8"}},
    {"run_environment": ["OV_KV_CACHE_PRECISION"]},
    {"run_properties": {"CACHE_DIR": "/"}},
    {"run_properties": {"P\ntouch ran": "a"}},
    {"run_properties": {"INFERENCE_PRECISION_HINT": "f32\ntouch ran"}},
]


@pytest.fixture
def plan(ovpass: CommandLine, tmp_path: Path) -> dict[str, Any]:
    """A plan whose run needs a variable and a property."""
    path = tmp_path / "plan.yaml"
    ovpass.succeed("plan", LLAMA, "--threshold", 128, "--runtime-option", "KV_CACHE_PRECISION=u8", "-o", path)
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    assert data["run_environment"]
    assert data["run_properties"]
    return data


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_what_is_no_option_of_openvino_is_refused(
    ovpass: CommandLine, plan: dict[str, Any], tmp_path: Path, foreign: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "foreign.yaml"
    path.write_text(yaml.safe_dump({**plan, **foreign}))
    (key,) = foreign
    assert key in ovpass.refuse("apply", LLAMA, "-o", tmp_path / "out", "--plan", path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ran").exists()


def test_notes_are_sourced_as_they_are_meant(ovpass: CommandLine, plan: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    assert load_plans(path)[""].run_environment == plan["run_environment"]
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--plan", path)
    (name, value), *_ = plan["run_environment"].items()
    script = f'. {tmp_path}/out/ovpass_run.env; printf %s "${name}"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_notes_made_in_memory_are_checked_too() -> None:
    with pytest.raises(PlanError, match="run_environment"):
        RunNotes({"PATH": "/tmp"})
