"""Execution graphs of both plugins, written elsewhere: the same answer as asking the plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ovpass.settings.settings import Rule
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.names import get_profile
from ovpass.verification import Question, Report
from ovpass.verification.driver import current_driver
from ovpass.verification.execution_graph import read_execution_graph
from ovpass.verification.from_graph import verify_graph
from ovpass.verification.simulated_gpu import RECORDING
from ovpass.verification.verify_model import verify
from tests.builders import if_model, trio_model
from tests.documents import ROOT
from tests.passes.helpers import transformed
from tests.verification.command import ENCODER, LLAMA, CommandLine, saved

GRAPHS = Path(__file__).parent / "execution_graphs"
ARC, METEOR_LAKE, CPU = (
    GRAPHS / "arc-b580-encoder.xml",
    GRAPHS / "meteor-lake-encoder.xml",
    GRAPHS / "cpu-int8-trio.xml",
)
GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"


def write_graph(model: Path, folder: Path, profile: str | None, *properties: str) -> Path:
    """In a process of its own, as on another machine."""
    xml = model if model.suffix == ".xml" else model / "openvino_model.xml"
    command = [sys.executable, "-m", "tests.verification.write_graph", str(xml), "GPU" if profile else "CPU"]
    driver = current_driver()
    simulated: Mapping[str, str] = {}
    if profile:
        simulated = {**driver.variables(), **RECORDING, **get_profile(profile).environment}
    command += [str(folder / "graph.xml"), *properties]
    subprocess.run(
        driver.command(command) if profile else command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **simulated},
        check=True,
        timeout=300,
        capture_output=True,
    )
    return folder / "graph.xml"


def found(report: Report) -> dict[str, int | None]:
    return {check.name: check.found for check in report.sites}


def int8_trio(folder: Path) -> Path:
    return saved(transformed(trio_model("w_i8_sym_ch"), Rule("linear_1", exempt=True), lowering="int8"), folder)


@pytest.mark.parametrize("device", ["arc-a770", "arc-b580"])
@pytest.mark.parametrize("properties", [(), (f"{GROUP_SIZE}=32",)], ids=["default", "32"])
def test_a_simulated_gpu(
    simulated: Callable[[str], object], tmp_path: Path, device: str, properties: tuple[str, ...]
) -> None:
    simulated(device)
    asked = Question(simulate=device, properties=dict(text.split("=", 1) for text in properties))
    graph = read_execution_graph(write_graph(LLAMA, tmp_path, device, *properties))
    target = Question(device=device, properties=asked.properties)
    report, direct = verify_graph(LLAMA, graph, target), verify(LLAMA, asked)[""]
    assert found(report) == found(direct)
    assert (report.ok, report.dynamic_quantize_nodes) == (direct.ok, direct.dynamic_quantize_nodes)


def test_int8_products_of_a_gpu(simulated: Callable[[str], object], tmp_path: Path) -> None:
    simulated("arc-a770")
    path = int8_trio(tmp_path)
    report = verify_graph(path, read_execution_graph(write_graph(path, tmp_path, "arc-a770")), Question())
    assert report.ok
    assert found(report) == {"linear_0": PER_TOKEN, "linear_1": None, "linear_2": PER_TOKEN}


def test_int8_products_of_the_cpu(tmp_path: Path) -> None:
    path = int8_trio(tmp_path)
    report = verify_graph(path, read_execution_graph(write_graph(path, tmp_path, None)), Question())
    assert found(report) == found(verify(path, Question(device="CPU"))[""])
    assert report.ok


# Samples --------------------------------------------------------------------------------------------------------------


def test_a_graph_from_an_arc(ovpass: CommandLine) -> None:
    report = ovpass.succeed("verify", ENCODER, "--execution-graph", ARC, "--json").json
    assert (report["ok"], report["device"], report["simulated"]) == (True, "GPU", None)
    assert {site["found"] for site in report["sites"]} == {128}
    assert report["dynamic_quantize_nodes"] == 8
    assert any("--device" in note for note in report["notes"])


def test_without_a_model_it_is_listed(ovpass: CommandLine) -> None:
    listed = ovpass.succeed("verify", "--execution-graph", ARC, "--json").json
    assert listed["device"] == "GPU"
    assert len([product for product in listed["products"] if product["group_size"]]) == 8
    assert "8 DynamicQuantize nodes" in ovpass.succeed("verify", "--execution-graph", ARC).out


def test_a_plan_that_the_other_machine_did_not_follow(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("plan", ENCODER, "-o", tmp_path / "plan.yaml", "--group-size", 32, "--quiet")
    ran = ovpass("verify", ENCODER, "--execution-graph", ARC, "--plan", tmp_path / "plan.yaml")
    assert (ran.code, ran.err) == (1, "Failed: 12 sites are not as planned\n")


def test_a_graph_from_a_cpu(tmp_path: Path, ovpass: CommandLine) -> None:
    path = int8_trio(tmp_path)
    assert ovpass.succeed("verify", path, "--execution-graph", CPU, "--json").json["ok"]
    error = ovpass.refuse("verify", ENCODER, "--execution-graph", CPU)
    assert "--device cpu" in error


def test_kernels_without_xmx_do_not_show(ovpass: CommandLine) -> None:
    assert "without XMX" in ovpass.refuse("verify", ENCODER, "--execution-graph", METEOR_LAKE)
    assert ovpass.succeed("verify", "--execution-graph", METEOR_LAKE).out


def test_a_model_whose_sites_are_all_in_bodies(simulated: Callable[[str], object], tmp_path: Path) -> None:
    simulated("arc-a770")
    path = saved(if_model("w_i8_sym_ch"), tmp_path)
    report = verify_graph(path, read_execution_graph(write_graph(path, tmp_path, "arc-a770")), Question())
    assert (report.sites, report.ok) == ((), True)
    assert any("bodies" in note for note in report.notes)


# What is no execution graph -------------------------------------------------------------------------------------------


def test_a_graph_of_another_model(ovpass: CommandLine) -> None:
    assert "another model" in ovpass.refuse("verify", LLAMA, "--execution-graph", ARC)


def test_a_graph_that_is_cut_short(ovpass: CommandLine, tmp_path: Path) -> None:
    text = ARC.read_text(encoding="utf-8")
    for length in (0, 300, len(text) // 2, len(text) - 8):
        (tmp_path / "cut.xml").write_text(text[:length], encoding="utf-8")
        assert "execution graph" in ovpass.refuse("verify", ENCODER, "--execution-graph", tmp_path / "cut.xml")


@pytest.mark.parametrize(
    "damage", [('from-layer="', 'from-layer="9'), ("group_sizes", "sizes"), ('precision="', 'p="')]
)
def test_a_damaged_graph(ovpass: CommandLine, tmp_path: Path, damage: tuple[str, str]) -> None:
    (tmp_path / "damaged.xml").write_text(ARC.read_text(encoding="utf-8").replace(*damage), encoding="utf-8")
    assert "damaged.xml" in ovpass.refuse("verify", ENCODER, "--execution-graph", tmp_path / "damaged.xml")


@pytest.mark.parametrize("content", [b"", b"<html/>", b"\xff\xfe\x00", b"<net><layers/></net>", b"not XML"])
def test_a_foreign_file(ovpass: CommandLine, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "foreign.xml").write_bytes(content)
    assert "execution graph" in ovpass.refuse("verify", ENCODER, "--execution-graph", tmp_path / "foreign.xml")
    assert "execution graph" in ovpass.refuse("verify", "--execution-graph", LLAMA / "openvino_model.xml")


def test_inspect_says_what_it_is(ovpass: CommandLine, tmp_path: Path) -> None:
    for name in ("inspect", "plan", "explain"):
        assert "--execution-graph" in ovpass.refuse(name, ARC)
    shutil.copy(ARC, tmp_path / "copy.xml")
    (tmp_path / "copy.bin").touch()
    assert "--execution-graph" in ovpass.refuse("inspect", tmp_path / "copy.xml")
