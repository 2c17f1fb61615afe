"""The main job on SmolLM2-135M: 30 blocks, 211 MatMuls with u4 weights, from a GGUF file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openvino as ov
import openvino_genai
import pytest

import ovpass
from ovpass import Rule, Settings, Transformed
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.simulated_gpu import Job

ROOT = Path(__file__).parent.parent
BLOCKS, SITES = 30, 211
KINDS = ("attn.q", "attn.k", "attn.v", "attn.out", "mlp.gate", "mlp.up", "mlp.down")
QUESTION = "What is the capital of France?"
F32 = {"INFERENCE_PRECISION_HINT": "f32"}

Compile = Callable[[list[Job], float], list[Observation]]
CompileAll = Callable[[list[Job]], list[Observation]]


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """The model folder, made once and cached outside the repository."""
    script = [sys.executable, str(ROOT / "scripts" / "get_smollm2.py")]
    made = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip())


def test_inspect_lists_every_site_with_its_kind_and_block(smollm2: Path) -> None:
    command = [sys.executable, "-m", "ovpass", "inspect", str(smollm2), "--json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    places = Counter((site["kind"], site["layer"]) for site in listed["sites"])
    expected = {(kind, block): 1 for kind in KINDS for block in range(BLOCKS)} | {("lm_head", None): 1}
    assert places == expected
    assert len({site["group_id"] for site in listed["sites"]}) == 4 * BLOCKS + 1


@pytest.mark.parametrize(
    ("settings", "properties"),
    [
        (Settings(group_size=32, target="cpu"), F32),
        (Settings(lowering="int8", requantize=True), {}),
        (Settings(lowering="emulate", group_size=64, threshold=64), F32),
    ],
    ids=["native", "int8", "emulate"],
)
def test_applied_model_knows_the_capital_of_france(
    smollm2: Path, tmp_path: Path, settings: Settings, properties: Mapping[str, str]
) -> None:
    done = ovpass.transform(smollm2, tmp_path / "out", settings)
    assert done.counts == {"quantize": 211, "exempt": 0, "skip": 0}
    assert "Paris" in answer(done, properties)


def answer(done: Transformed, properties: Mapping[str, str]) -> str:
    pipeline = openvino_genai.LLMPipeline(done.output, "CPU", **properties)
    config = openvino_genai.GenerationConfig(max_new_tokens=16, do_sample=False)
    return str(pipeline.generate(QUESTION, config))


def test_native_plan_shares_the_weights_and_strips_to_the_same(smollm2: Path, tmp_path: Path) -> None:
    settings = Settings(group_size=128, rules=(Rule("kind:mlp.down+layer:28-29", exempt=True),))
    ovpass.transform(smollm2, tmp_path / "out", settings)
    ovpass.strip_source(tmp_path / "out", tmp_path / "stripped")
    original = (smollm2 / "openvino_model.bin").stat()
    assert (tmp_path / "out" / "openvino_model.bin").stat().st_ino == original.st_ino
    assert (tmp_path / "stripped" / "openvino_model.bin").stat().st_ino == original.st_ino


def test_gpu_plugin_follows_the_plan_site_by_site(smollm2: Path, tmp_path: Path, simulated_gpu: Compile) -> None:
    settings = Settings(group_size=128, rules=(Rule("kind:mlp.down", exempt=True),))
    done = ovpass.transform(smollm2, tmp_path / "out", settings)
    (compiled,) = simulated_gpu([Job(tmp_path / "out" / "openvino_model.xml")], 800)
    planned = {decision.name: decision.group_size for decision in done.plans[""].decisions}
    assert {name: compiled.groups[name] for name in planned} == planned
    assert compiled.quantizers == 3 * BLOCKS + 1


@pytest.mark.usefixtures("simulated_gpu")
def test_verify_by_the_rules_on_the_gpu_plugin(smollm2: Path) -> None:
    report = verified(smollm2, "--simulate", "arc-a770")
    assert found(report) == {("per-token", "per-token"): SITES}
    assert report["dynamic_quantize_nodes"] == 4 * BLOCKS + 1


def test_the_rules_on_an_arc_b580(smollm2: Path, simulated: Callable[[str], CompileAll]) -> None:
    """lm_head has 8-bit weights in groups of 32; Q, K and V of a block are fused."""
    model = smollm2 / "openvino_model.xml"
    plan = ovpass.make_plan(ov.Core().read_model(model), Settings(target="arc-b580"))
    (seen,) = simulated("arc-b580")([Job(model)])
    planned = {decision.name: decision.group_size for decision in plan.decisions}
    assert Counter(planned.values()) == {PER_TOKEN: SITES - 1, 32: 1}
    assert {name: seen.groups[name] for name in planned} == planned
    assert sum(matmul.kind == "FullyConnected" for matmul in seen.matmuls) == 5 * BLOCKS + 1
    assert seen.quantizers == 4 * BLOCKS + 1


@pytest.mark.usefixtures("simulated_gpu")
def test_weights_with_zero_points_cap_the_group_as_planned(smollm2: Path, tmp_path: Path) -> None:
    done = ovpass.transform(smollm2, tmp_path / "out", Settings(group_size=64))
    assert {decision.group_size for decision in done.plans[""].decisions} == {32}
    assert found(verified(tmp_path / "out", "--simulate", "arc-a770")) == {(32, 32): SITES}


@pytest.mark.vnni(not_for="not quantized")
@pytest.mark.parametrize(("asked", "used"), [(32, 32), (64, "not quantized")])
def test_the_cpu_plugin_proved_by_numbers(smollm2: Path, asked: int, used: object) -> None:
    report = verified(smollm2, "--device", "CPU", "--property", f"DYNAMIC_QUANTIZATION_GROUP_SIZE={asked}")
    assert found(report) == {(used, used): SITES}
    assert any("though the property says 64" in note for note in report["notes"]) == (asked == 64)


def test_int8_products_on_the_cpu_plugin(smollm2: Path, tmp_path: Path) -> None:
    ovpass.transform(smollm2, tmp_path / "out", Settings(lowering="int8", requantize=True, target="cpu"))
    assert found(verified(tmp_path / "out", "--device", "CPU")) == {("per-token", "per-token"): SITES}


def verified(model: Path, *options: str) -> dict[str, Any]:
    """What the command line reports of a model that is as planned."""
    command = [sys.executable, "-m", "ovpass", "verify", str(model), *options, "--json"]
    report: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert report["ok"]
    assert report["mismatches"] == []
    return report


def found(report: Mapping[str, Any]) -> Counter[tuple[object, object]]:
    """How often each pair of planned and found is there."""
    return Counter((site["planned"], site["found"]) for site in report["sites"])


@pytest.mark.vnni
def test_the_cpus_profile_costs_what_its_plugin_does(smollm2: Path) -> None:
    """Tiny differences flip roundings further down, so that the two agree on the whole, not token by token."""
    candidates = [f"{smollm2}@DYNAMIC_QUANTIZATION_GROUP_SIZE=32", f"{smollm2}@group_size=32,profile=cpu"]
    command = [sys.executable, "-m", "ovpass", "evaluate", str(smollm2), *candidates, "--windows", "3", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    native, emulated = report["candidates"]
    assert native["kl"]["median"] > 1e-4
    assert emulated["kl"]["median"] == pytest.approx(native["kl"]["median"], rel=0.1)
    assert emulated["top1_agreement"] == pytest.approx(native["top1_agreement"], abs=1.5)
    assert emulated["weights"] is None


@pytest.mark.usefixtures("smollm2")
def test_the_demo_ends_with_a_verified_model_that_answers(simulated: Callable[[str], Compile]) -> None:
    simulated("arc-b580")
    environment = {**os.environ, "OVPASS_VENV": sys.prefix, "COLUMNS": "100"}
    with TemporaryDirectory() as folder:
        demo = ["bash", str(ROOT / "scripts" / "demo.sh"), f"{folder}/out", "--windows", "1", "--window-tokens", "80"]
        said = subprocess.run(demo, check=True, capture_output=True, text=True, env=environment).stdout
    assert "211 of 211 sites as planned on simulated arc-b580" in said
    assert said.splitlines()[-1] == "The capital of France is Paris."
