"""The real GPU plugin's answer against the plan: from the model's note, from a file, and from the rules."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import openvino as ov
import pytest

from ovpass import Settings, make_plan
from ovpass.planning.plan import load_plans
from ovpass.settings.settings import Rule
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.names import get_profile
from ovpass.verification import Question, Report
from ovpass.verification.driver import SYSTEM_DRIVER
from ovpass.verification.simulated_gpu import RECORDING, installed_version
from ovpass.verification.verify_model import verify
from tests.builders import if_model, linear_model, loop_model, pair_model, shared_model, trio_model
from tests.missing import lacking
from tests.passes.helpers import transformed
from tests.verification.command import ENCODER, LLAMA, CommandLine, saved

pytestmark = pytest.mark.usefixtures("simulated_gpu")

ARC = ("--simulate", "arc-a770")
ON_ARC = Question(simulate="arc-a770")
IN_ITS_GRAPH = Question(simulate="arc-a770", kernels=False)
SITES = 12
SIDE_BY_SIDE = ("arc-a770", "lunar-lake", "iris-xe")


def found(report: Report) -> dict[str, int | None]:
    return {check.name: check.found for check in report.sites}


def test_a_model_as_it_is_by_the_rules(ovpass: CommandLine) -> None:
    report = ovpass.succeed("verify", LLAMA, *ARC, "--tokens", 65, "--json").json
    assert report["ok"]
    assert (report["device"], report["simulated"]) == ("GPU", "arc-a770")
    assert {(site["planned"], site["found"]) for site in report["sites"]} == {("per-token", "per-token")}
    assert (len(report["sites"]), report["dynamic_quantize_nodes"]) == (15, 9)
    assert "simulated" in report["notes"][0]
    assert report["thresholds"] == [{"tokens": 65, "executed": True, "quantizers": 9}]


def test_apply_and_verify_in_one_go(tmp_path: Path, ovpass: CommandLine) -> None:
    """Exempt sites lose it, and only they."""
    exempt = ("--group-size", 64, "--exempt", "kind:mlp.down+layer:1", "--exempt", "kind:attn+layer:0")
    ran = ovpass.succeed("apply", ENCODER, "-o", tmp_path / "out", *exempt, "--verify", "--json").json["verify"]
    assert ran["ok"]
    off = {site["name"] for site in ran["sites"] if site["found"] == "not quantized"}
    assert len(off) == 5
    assert all("layer.0.attention" in name or "layer.1.output" in name for name in off)
    assert {site["found"] for site in ran["sites"] if site["name"] not in off} == {64}


def test_a_plan_that_the_plugin_does_not_follow(tmp_path: Path, ovpass: CommandLine) -> None:
    """Group 100 divides no K: the plan is edited to claim it, and every site is named."""
    plan, out = tmp_path / "plan.yaml", tmp_path / "out"
    ovpass.succeed("plan", ENCODER, "-o", plan, "--group-size", 64, "--quiet")
    edited = plan.read_text().replace("group_size: 64", "group_size: 100")
    plan.write_text(edited)
    ovpass.succeed("apply", ENCODER, "-o", out, "--plan", plan, "--quiet")
    ran = ovpass("verify", out, *ARC, "--json")
    assert (ran.code, ran.err) == (1, f"Failed: {SITES} sites are not as planned\n")
    report = ran.json
    assert not report["ok"]
    assert {site["name"] for site in report["mismatches"]} == {site["name"] for site in report["sites"]}
    assert {(site["planned"], site["found"]) for site in report["mismatches"]} == {(100, "not quantized")}
    # As text, and with the plan from the file on the unchanged model, which runs per token.
    shown = ovpass("verify", ENCODER, *ARC, "--plan", plan, "--without-kernels")
    assert shown.code == 1
    assert f"0 of {SITES} sites as planned on GPU" in shown.out
    assert all(f"layer.{block}" in shown.out for block in (0, 1))


def test_groups_capped_by_zero_points_are_the_ones_really_used(tmp_path: Path) -> None:
    model = transformed(shared_model(["w_i8_sym_ch", "w_u4_asym_g64"], [64, 32]), group_size=256)
    report = verify(saved(model, tmp_path), IN_ITS_GRAPH)[""]
    assert report.ok
    assert found(report) == {"linear_0": 256, "linear_1": 64}


def test_sizes_of_their_own(tmp_path: Path) -> None:
    model = transformed(pair_model("w_i8_sym_ch"), Rule("linear_1", group_size=64))
    report = verify(saved(model, tmp_path), IN_ITS_GRAPH)[""]
    assert report.ok
    assert found(report) == {"linear_0": 512, "linear_1": 64}


def test_int8_products(tmp_path: Path) -> None:
    model = transformed(trio_model("w_i8_sym_ch"), Rule("linear_1", exempt=True), lowering="int8")
    report = verify(saved(model, tmp_path), IN_ITS_GRAPH)[""]
    assert report.ok
    assert found(report) == {"linear_0": PER_TOKEN, "linear_1": None, "linear_2": PER_TOKEN}
    assert report.dynamic_quantize_nodes == 0


def test_emulated_models_are_not_quantized_again(tmp_path: Path) -> None:
    path = saved(transformed(pair_model("w_i8_sym_ch"), lowering="emulate", group_size=64), tmp_path)
    report = verify(path, IN_ITS_GRAPH)[""]
    assert report.ok
    assert set(found(report).values()) == {None}


@pytest.mark.parametrize(
    ("build", "exempt", "kept"),
    [
        (if_model, "if/then_body/body_linear", {"if/else_body/body_linear_else": 64}),
        (loop_model, "loop/body/body_linear", {}),
    ],
)
def test_bodies(tmp_path: Path, build: Callable[[str], ov.Model], exempt: str, kept: dict[str, int]) -> None:
    model = transformed(build("w_i8_sym_ch"), Rule(exempt, exempt=True), group_size=64)
    report = verify(saved(model, tmp_path), IN_ITS_GRAPH)[""]
    assert report.ok
    assert found(report) == {exempt: None, **kept}
    assert report.dynamic_quantize_nodes == len(kept)


def test_threshold_of_the_plan(tmp_path: Path, ovpass: CommandLine) -> None:
    """It is in the plan's environment for the process, which the child gets."""
    path = saved(transformed(linear_model("w_i8_sym_ch"), threshold=128), tmp_path)
    report = ovpass.succeed("verify", path, *ARC, "--tokens", "128,129", "--json").json
    assert report["thresholds"] == [
        {"tokens": 128, "executed": False, "quantizers": 1},
        {"tokens": 129, "executed": True, "quantizers": 1},
    ]


def test_a_folder_of_two_models(tmp_path: Path, ovpass: CommandLine) -> None:
    for name in ("text", "vision"):
        shutil.copytree(ENCODER, tmp_path / name)
    report = ovpass.succeed("verify", tmp_path, *ARC, "--tokens", 65, "--json").json
    submodels = ["text/openvino_model.xml", "vision/openvino_model.xml"]
    assert sorted({site["submodel"] for site in report["sites"]}) == submodels
    assert [(run["submodel"], run["executed"]) for run in report["thresholds"]] == [(name, True) for name in submodels]
    assert len(report["notes"]) == 1


def test_the_graph_tells_what_the_compiled_model_does(ovpass: CommandLine) -> None:
    whole, graph = (
        ovpass.succeed("verify", LLAMA, *ARC, *more, "--json").json for more in ((), ("--without-kernels",))
    )
    assert graph["sites"] == whole["sites"]
    assert graph["dynamic_quantize_nodes"] == whole["dynamic_quantize_nodes"] == 9
    assert [note for note in graph["notes"] if "no kernel was compiled" in note] == graph["notes"][1:]


def test_a_gpu_without_xmx_decides_in_its_kernels(tmp_path: Path) -> None:
    path = saved(linear_model("w_u4_asym_g128", n=32), tmp_path)
    report = verify(path, Question(simulate="meteor-lake", kernels=False))[""]
    assert found(report) == {"linear": 32}
    assert not any("no kernel was compiled" in note for note in report.notes)


@pytest.mark.parametrize("more", [("--tokens", 65), ("--find-threshold",), ("--device", "cpu")])
def test_a_graph_runs_nothing(ovpass: CommandLine, more: tuple[object, ...]) -> None:
    device = () if "--device" in more else ARC
    assert "without kernels" in ovpass.refuse("verify", ENCODER, *device, "--without-kernels", *more)


def test_kernels_tell_what_a_gpu_without_xmx_quantizes(ovpass: CommandLine) -> None:
    report = ovpass.succeed("verify", ENCODER, "--simulate", "iris-xe", "--json").json
    assert (report["ok"], len(report["sites"]), report["dynamic_quantize_nodes"]) == (True, 12, 0)
    assert {site["found"] for site in report["sites"]} == {"not quantized"}
    assert "group size 32" in report["notes"][1]


def test_the_kernels_disagree_with_a_plan(tmp_path: Path) -> None:
    path = saved(linear_model("w_u4_asym_g128"), tmp_path)
    assert found(verify(path, Question(simulate="iris-xe"))[""]) == {"linear": 32}
    off = Question(simulate="iris-xe", properties={"DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"})
    plan = make_plan(linear_model("w_u4_asym_g128"), Settings(target="iris-xe"))
    assert not verify(path, off, {"": plan})[""].ok


@pytest.mark.usefixtures("system_gpu")
def test_the_device_itself_tells_whose_rules_it_follows(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**RECORDING, **get_profile("iris-xe").environment}.items():
        monkeypatch.setenv(name, value)
    sites = ovpass.succeed("verify", ENCODER, "--json").json["sites"]
    assert {site["planned"] for site in sites} == {"not quantized"}
    asked = ovpass("verify", ENCODER, "--device", "gpu-xmx", "--json")
    assert (asked.code, {site["planned"] for site in asked.json["sites"]}) == (1, {"per-token"})


def test_all_devices_side_by_side(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the driver does not know are told; a plan for one of them is followed by that one alone."""
    monkeypatch.setattr("ovpass.verification.side_by_side.profiles", lambda: {n: get_profile(n) for n in SIDE_BY_SIDE})
    ran = ovpass("verify", ENCODER, "--simulate", "all", "--json")
    devices = {entry["simulated"]: entry for entry in ran.json["devices"]}
    assert list(devices) == list(SIDE_BY_SIDE)
    assert [len(devices[name]["sites"]) for name in ("arc-a770", "iris-xe")] == [12, 12]
    assert (ran.code, ran.json["ok"]) == (0, True)
    lunar_lake = devices["lunar-lake"]
    assert lunar_lake.get("missing") or lunar_lake["driver"]
    asked = ovpass("verify", ENCODER, "--simulate", "all", "--property", "DYNAMIC_QUANTIZATION_GROUP_SIZE=64")
    assert "64: 12" in asked.out


@pytest.mark.parametrize(("fmt", "slow"), [("w_u2_ch", True), ("w_i8_asym_ch", True), ("w_u8_asym_ch", False)])
def test_a_reference_kernel_is_noted(tmp_path: Path, fmt: str, slow: bool) -> None:
    report = verify(saved(linear_model(fmt, n=32), tmp_path), ON_ARC)[""]
    assert any("reference kernel" in note for note in report.notes) is slow
    assert report.ok


@pytest.fixture
def system_gpu() -> None:
    """A driver with which processes see a simulated GPU without being told where it is."""
    if installed_version(SYSTEM_DRIVER) is None:
        lacking("the system's driver: apt-get install intel-opencl-icd ocl-icd-libopencl1")


@pytest.fixture
def two_gpus(system_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that this process sees without being asked to simulate one."""
    for name, value in {**RECORDING, **get_profile("arc-a770").environment, "CreateMultipleRootDevices": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("device", ["gpu", "GPU.1"])
def test_one_of_two(ovpass: CommandLine, device: str) -> None:
    ran = ovpass.succeed("verify", ENCODER, "--device", device)
    assert f"12 of 12 sites as planned on {device.upper()}, Intel(R)" in " ".join(ran.out.split())
    report = ovpass.succeed("verify", ENCODER, "--device", device, "--json").json
    assert (report["device"], report["simulated"]) == (device.upper(), None)
    assert report["device_name"].startswith("Intel(R)")


@pytest.mark.usefixtures("two_gpus")
def test_a_third_is_not_there(ovpass: CommandLine) -> None:
    assert "GPU.2" in ovpass.refuse("verify", ENCODER, "--device", "GPU.2")


def test_a_plan_for_another_model(tmp_path: Path, ovpass: CommandLine) -> None:
    plan = tmp_path / "plan.yaml"
    ovpass.succeed("plan", ENCODER, "-o", plan, "--quiet")
    assert "is for another model" in ovpass.refuse("verify", LLAMA, *ARC, "--plan", plan)
    assert load_plans(plan)[""].counts()["quantize"] == 12
