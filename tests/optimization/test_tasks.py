"""A plan may not lose more of the score on tasks than is allowed: stricter ones are tried, and refused in the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ovpass.errors import CheckFailedError
from ovpass.optimization.outline import outline_of
from ovpass.optimization.pipeline import Made, run_pipeline
from ovpass.optimization.request import Request
from ovpass.optimization.stages import Stage, Stages
from ovpass.optimization.tasks import TASKS
from tests.cli.command import ENCODER, LLAMA, CommandLine

DROP = "--max-task-drop"


def option(arguments: Sequence[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


class Pipeline:
    """Stages that find plans which spend their whole budget, and lose `loss` points of 40 for each nat of it."""

    def __init__(self, place: Path, loss: float, allowed: float) -> None:
        self.loss, self.spent = loss, 0.0
        request = Request(
            LLAMA, place / "out", target="cpu", preset="balanced", max_task_drop=allowed, work=place / "work"
        )
        self.outline = outline_of(request)
        self.ran: list[Stage] = []
        self.stages = Stages(place / "work", self.run, lambda stage, _: self.ran.append(stage))

    def made(self) -> Made:
        self.stages.begin([LLAMA])
        return run_pipeline(self.outline, self.stages, quiet=True)

    def run(self, name: str, arguments: Sequence[str]) -> Any:
        found: dict[str, Any] = {"run": {"arguments": list(arguments)}}
        if name == "tune":
            self.spent = float(option(arguments, "--max-kl"))
            found |= {"held_out": {"kl": self.spent}, "plan": {"decisions": [{"action": "quantize"}]}}
        if name == "verify":
            found |= {"ok": True}
        if name == "evaluate":
            before, after = self.scores(40), self.scores(40 - self.loss * self.spent)
            assert option(arguments, "--harness") == ",".join(TASKS)
            found |= {"reference_harness": before, "candidates": [{"harness": after}]}
        return found

    @staticmethod
    def scores(points: float) -> Any:
        return {task: {metric: {"value": points / 100}} for task, metric in TASKS.items()}

    def budgets(self) -> list[float]:
        return [float(option(stage.arguments, "--max-kl")) for stage in self.ran if stage.command == "tune"]


def test_the_first_plan_counts_if_it_keeps_the_score(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, loss=100, allowed=2.1)
    assert pipeline.made().model == tmp_path / "work" / "model"
    assert pipeline.budgets() == [0.02]


def test_stricter_plans_follow_until_one_keeps_it(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, loss=100, allowed=0.6)
    made = pipeline.made()
    assert pipeline.budgets() == [0.02, 0.01, 0.005]
    assert made.model == tmp_path / "work" / "model-3"
    assert pipeline.stages.file("tune").name == "tune-3.json"
    assert option(pipeline.stages.last["apply"].arguments, "--plan") == str(tmp_path / "work" / "plan-3.yaml")


def test_a_score_that_no_plan_keeps(tmp_path: Path) -> None:
    """As where weights alone cost more."""
    pipeline = Pipeline(tmp_path, loss=1e4, allowed=1)
    with pytest.raises(CheckFailedError, match="--weights"):
        pipeline.made()
    assert pipeline.budgets() == [0.02, 0.01, 0.005, 0.0025]


def test_what_has_no_score(ovpass: CommandLine, tmp_path: Path) -> None:
    assert DROP in ovpass.refuse("optimize", ENCODER, "-o", tmp_path / "out", DROP, 2, "--quiet")
    assert DROP in ovpass.refuse("optimize", LLAMA, "-o", tmp_path / "out", DROP, -1)
    xml = tmp_path / "alone" / "openvino_model.xml"
    xml.parent.mkdir()
    for suffix in (".xml", ".bin"):
        xml.with_suffix(suffix).symlink_to((LLAMA / "openvino_model").with_suffix(suffix))
    assert "tokenizer" in ovpass.refuse("optimize", xml, "-o", tmp_path / "out", DROP, 2, "--quiet")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_scores_are_told(ovpass: CommandLine, tmp_path: Path) -> None:
    small = ("--target", "cpu", "--max-kl", 0.5, "--windows", 1, "--window-tokens", 48)
    ran = ovpass("optimize", LLAMA, "-o", tmp_path / "out", *small, DROP, 0)  # lm-eval's progress bars may be shown
    assert ran.code == 0
    assert "Score on tasks: 0.0 points before, 0.0 after." in ran.out.splitlines()
    assert "so its score limits nothing" in ran.out
    assert "of 100 points | 0.0 before, 0.0 after |" in (tmp_path / "out" / "README.md").read_text()
