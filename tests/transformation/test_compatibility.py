"""Models and plans that ovpass 0.1 wrote are read, stripped and carried out as before."""

from __future__ import annotations

import hashlib
from pathlib import Path

import openvino as ov
import pytest

from ovpass.planning.plan import load_plans
from tests.cli.command import CommandLine
from tests.passes.helpers import structure

WRITTEN = Path(__file__).parent / "written_earlier"
FROM = dict.fromkeys(("native", "rank-4", "precise", "f16-zero-point", "f16-weights", "cap", "emulate"), "i4")
"""What strip restores, by what apply wrote."""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", FROM)
def test_strip_restores_the_original(ovpass: CommandLine, tmp_path: Path, name: str) -> None:
    ovpass.succeed("strip", WRITTEN / f"{name}.xml", "-o", tmp_path / "back.xml")
    original = WRITTEN / f"{FROM[name]}.xml"
    core = ov.Core()
    assert structure(core.read_model(tmp_path / "back.xml")) == structure(core.read_model(original))
    assert digest(tmp_path / "back.bin") == digest(original.with_suffix(".bin"))


@pytest.mark.parametrize(("name", "reason"), [("int8", "re-quantized"), ("canonical", "cannot be undone")])
def test_what_cannot_be_undone_is_refused(ovpass: CommandLine, tmp_path: Path, name: str, reason: str) -> None:
    assert reason in ovpass.refuse("strip", WRITTEN / f"{name}.xml", "-o", tmp_path / "back.xml")
    assert not (tmp_path / "back.xml").exists()


@pytest.mark.parametrize("name", [*(name for name in FROM if name != "f16-weights"), "int8", "canonical"])
def test_inspect_and_explain_read_it(ovpass: CommandLine, name: str) -> None:
    model = WRITTEN / f"{name}.xml"
    ovpass.succeed("explain", model)
    assert ovpass.succeed("inspect", model, "--json").json["sites"]


def test_the_plan_of_a_model_is_found(ovpass: CommandLine) -> None:
    report = ovpass("verify", WRITTEN / "native.xml", "--device", "CPU", "--json").json
    assert [(site["name"], site["planned"]) for site in report["sites"]] == [("linear", 64)]


def test_a_plan_is_carried_out(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("apply", WRITTEN / "i4.xml", "-o", tmp_path / "out.xml", "--plan", WRITTEN / "plan.yaml")
    assert load_plans(WRITTEN / "plan.yaml")[""].settings.group_size == 64
