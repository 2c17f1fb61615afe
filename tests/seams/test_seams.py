"""A new member of each table takes one module and one line: the modules that docs/contributing shows are added here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

import ovpass
from ovpass.cli import COMMANDS, Command
from ovpass.conversion import SOURCES
from ovpass.settings.lowerings import LOWERINGS
from ovpass.tuning.executors import EXECUTORS
from tests.cli.command import LLAMA, CommandLine
from tests.passes.helpers import structure
from tests.seams.toys import toy_module


def test_a_lowering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: CommandLine) -> None:
    toy = toy_module("add-a-lowering", tmp_path, monkeypatch)
    monkeypatch.setitem(LOWERINGS, "clip", toy.__name__)
    options = ("--lowering", "clip", "--exempt", "kind:lm_head", "--json")
    counts = command.succeed("apply", LLAMA, "-o", tmp_path / "out", *options).json["counts"]
    assert counts["exempt"] == 1
    assert counts["quantize"] > 0
    clipped = ov.Core().read_model(tmp_path / "out/openvino_model.xml")
    clamps = [op for op in clipped.get_ops() if op.get_type_name() == "Clamp"]
    assert len(clamps) == counts["quantize"]
    command.succeed("strip", tmp_path / "out", "-o", tmp_path / "back")
    back = ov.Core().read_model(tmp_path / "back/openvino_model.xml")
    assert structure(back) == structure(ov.Core().read_model(LLAMA / "openvino_model.xml"))


def test_a_lowering_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOWERINGS, "clip", toy_module("add-a-lowering", tmp_path, monkeypatch).__name__)
    model = ov.Core().read_model(LLAMA / "openvino_model.xml")
    plan = ovpass.make_plan(model, ovpass.Settings(lowering="clip"))
    assert {decision.action for decision in plan.decisions} == {"quantize"}
    assert structure(ovpass.apply(model, plan)) != structure(model)


def test_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: CommandLine) -> None:
    toy = toy_module("add-a-command", tmp_path, monkeypatch)
    monkeypatch.setitem(COMMANDS, "count", Command(toy.__name__, "Count the sites of a model."))
    assert command.succeed("count", LLAMA, "--json").json["sites"] > 0
    assert "site" in command.succeed("count", LLAMA).out
    assert "Count the sites of a model." in command.succeed("--help").out


def test_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: CommandLine) -> None:
    monkeypatch.setitem(SOURCES, "pointer", toy_module("add-a-source", tmp_path, monkeypatch).SOURCE)
    pointer = tmp_path / "model.ir"
    pointer.write_text(str(LLAMA / "openvino_model.xml"), encoding="utf-8")
    report = command.succeed("convert", pointer, "-o", tmp_path / "out", "--json").json
    assert (report["source"], len(report["notes"])) == ("pointer", 1)
    assert (tmp_path / "out/openvino_model.bin").samefile(LLAMA / "openvino_model.bin")
    assert "is for GGUF" in command.refuse("convert", pointer, "-o", tmp_path / "no", "--exact")


def test_an_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, "threaded", toy_module("add-an-executor", tmp_path, monkeypatch).EXECUTOR)
    evaluation = ovpass.Evaluation(windows=2, window_tokens=16)
    found = [
        ovpass.sensitivity(
            ovpass.Experiment(LLAMA, evaluation=evaluation, state=tmp_path / name, executor=name),
            ovpass.Measure(by="kind"),
        )
        for name in ("in-process", "threaded")
    ]
    assert found[0] == found[1]
    assert np.isfinite(found[0].together.mean)
