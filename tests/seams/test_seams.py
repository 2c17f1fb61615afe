"""A new member of each table takes one module and one line: the modules that docs/contributing shows are added here."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

import ovpass
from ovpass.cli import COMMANDS, Command
from ovpass.conversion import SOURCES
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, Encoding
from ovpass.settings.lowerings import LOWERINGS
from ovpass.targets import TARGETS
from ovpass.tuning.executors import EXECUTORS
from tests.cli.command import LLAMA, CommandLine
from tests.passes.helpers import outputs, structure
from tests.seams.toys import toy_module

POWER = Encoding("power", "i4")


def power_model(toy: ModuleType) -> ov.Model:
    """One MatMul with weights in the format of the page."""
    encoded = toy.encode(np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32), POWER)
    x = op.parameter([-1, 128], np.float32)
    x.output(0).set_names({"x"})
    product = op.matmul(x, toy.write(encoded, ChainForm("weight", "weight/", "f32")), False, True)
    product.set_friendly_name("linear")
    return ov.Model([op.result(product)], [x])


def test_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: CommandLine) -> None:
    toy = toy_module("add-a-format", tmp_path, monkeypatch)
    xml, out, back = (tmp_path / name for name in ("power.xml", "out.xml", "back.xml"))
    ov.save_model(power_model(toy), xml, compress_to_fp16=False)
    command.refuse("inspect", xml)
    monkeypatch.setitem(FORMATS, "power", toy.FORMAT)

    for target in TARGETS:
        (site,) = command.succeed("inspect", xml, "--target", target, "--json").json["sites"]
        assert (site["format"], site["weight_type"], site["weight_group_size"]) == ("power", "i4", None)
        assert not site["eligible"]
        assert "power" in site["reason"]
    (decision,) = command.succeed("plan", xml, "--json").json["decisions"]
    assert (decision["action"], decision["weights"]) == ("skip", "power i4 symmetric per-channel 64x128")
    assert "power i4" in command.refuse("plan", xml, "--lowering", "int8")

    applied = command.succeed("apply", xml, "-o", out, "--lowering", "emulate", "--group-size", "32", "--json").json
    assert applied["counts"]["quantize"] == 1
    command.succeed("strip", out, "-o", back)
    assert structure(ov.Core().read_model(back)) == structure(ov.Core().read_model(xml))


def test_a_format_in_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = toy_module("add-a-format", tmp_path, monkeypatch)
    monkeypatch.setitem(FORMATS, "power", toy.FORMAT)
    weights = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
    decoded = toy.decode(toy.encode(weights, POWER))
    assert np.abs(decoded / weights).max() < 1.5
    model = power_model(toy)
    (products,) = outputs(model, {"x": np.eye(128, dtype=np.float32)}, group_size=0)
    assert np.array_equal(products.T, decoded)
    requantized = ovpass.apply(model, ovpass.make_plan(model, ovpass.Settings(lowering="int8", requantize=True)))
    (site,) = ovpass.find_compressed_matmuls(requantized)
    assert (site.format, site.weight_type, site.codebook) == ("integer", "i8", False)


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


@pytest.mark.slow
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


@pytest.fixture
def toy_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = toy_module("add-a-target", tmp_path, monkeypatch).TARGET
    monkeypatch.setitem(TARGETS, target.name, target)


@pytest.mark.usefixtures("toy_target")
@pytest.mark.parametrize("name", ["gpu-toy", "toy-100", "t100"])
def test_a_target(tmp_path: Path, command: CommandLine, name: str) -> None:
    groups = [
        site["group_size"] for site in command.succeed("inspect", LLAMA, "--target", name, "--json").json["sites"]
    ]
    assert groups.count(64) == 1
    assert set(groups) == {64, None}
    config = tmp_path / "settings.yaml"
    config.write_text(f"target: {name}\n", encoding="utf-8")
    for settings in (("--target", name), ("--config", config)):
        plan = command.succeed("plan", LLAMA, *settings, "--json").json
        assert plan["counts"] == {"quantize": 1, "exempt": 0, "skip": 14}
    (explained,) = command.succeed("explain", LLAMA, "--device", name, "--json").json["devices"]
    assert (explained["target"], explained["quantized"]) == ("gpu-toy", 1)
    assert "gpu-toy" in [found["target"] for found in command.succeed("explain", LLAMA, "--json").json["devices"]]
    assert "threshold" in command.refuse("plan", LLAMA, "--target", name, "--threshold", "32")
    assert "toy-100" in command.refuse("plan", LLAMA, "--target", "toy-10")


@pytest.mark.usefixtures("toy_target", "simulated_gpu")
def test_the_device_of_a_target(command: CommandLine) -> None:
    report = command("verify", LLAMA, "--simulate", "t100", "--json").json
    assert report["simulated"] == "toy-100"
    assert {site["planned"] for site in report["sites"]} == {64, "not quantized"}
