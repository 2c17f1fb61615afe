"""`only_if_faster`: what is left out and why, in plans, files and on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ovpass.errors import SettingsError
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.runtime_options import GROUP_SIZE, write_option
from ovpass.lowerings.planner import make_plan
from ovpass.planning.faster import keep_faster
from ovpass.planning.plan import QUANTIZE, SKIP, Decision, Plan
from ovpass.settings.settings import Rule, Settings, load_settings, settings_from_dict, settings_to_dict
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.costs import Calibration, Chosen, Constants, Shared, load_calibration
from ovpass.targets.costs.calibration import FALLBACK, FOLDER
from tests.builders import linear_model, pair_model, shared_model
from tests.cli.command import ENCODER, LLAMA, CommandLine

CPU: dict[str, Any] = {"target": "cpu", "lowering": "int8"}
FASTER: dict[str, Any] = {**CPU, "only_if_faster": True}
MEASURED = load_calibration(FOLDER / FALLBACK)
OWN = 64
FREE = Constants(0, 0, 1e-15, 0, 0, 0)


def calibration(default: float, int8: float, quantization: float = 0) -> Calibration:
    """Microseconds of one product of any size, and of quantizing an activation."""
    fixed = {"default-8bit": default, "int8": int8}
    variants = {name: replace(FREE, fixed=value) for name, value in fixed.items()}
    return replace(MEASURED, variants=variants, residuals={}, quantization=Shared(quantization, 0, 0))


def judged(model: ov.Model, by: Calibration, *rules: Rule, **options: Any) -> Plan:
    """The plan that another device's times lead to."""
    plan = make_plan(model, Settings(**{**CPU, **options}, rules=rules))
    return keep_faster(find_compressed_matmuls(model), plan, Chosen(by, "a CPU", own=False), OWN)


def by_name(plan: Plan) -> list[Decision]:
    return sorted(plan.decisions, key=lambda decision: decision.name)


def actions(plan: Plan) -> list[str]:
    return [decision.action for decision in by_name(plan)]


@pytest.mark.parametrize(("tokens", "action"), [(1, SKIP), (4, SKIP), (4096, QUANTIZE), (100_000, QUANTIZE)])
def test_a_small_layer_pays_with_many_tokens_only(tokens: int, action: str) -> None:
    plan = make_plan(linear_model(k=512, n=512), Settings(**FASTER, at_tokens=tokens))
    (decision,) = plan.decisions
    assert decision.action == action
    assert decision.expected_ratio is not None
    assert (decision.expected_ratio < 1) == (action == QUANTIZE)
    for words in (f"{decision.expected_ratio:.2f}", f"{tokens} tokens", "K=512 N=512"):
        assert words in decision.reason
    assert any(MEASURED.openvino in note for note in plan.notes)


def test_nothing_is_expected_where_nobody_asks() -> None:
    plan = make_plan(linear_model(), Settings(**CPU))
    assert [decision.expected_ratio for decision in plan.decisions] == [None]
    assert "expected_ratio" not in plan.to_dict()["decisions"][0]


def test_a_device_without_its_own_calibration_is_told() -> None:
    note = judged(linear_model(), MEASURED).notes[0]
    assert "a CPU" in note
    assert MEASURED.device in note


# One activation, several sites


@pytest.mark.parametrize(("sites", "kept"), [(1, False), (2, False), (3, True)])
def test_quantizing_an_activation_is_counted_once(sites: int, kept: bool) -> None:
    plan = judged(shared_model(["w_i8_sym_ch"] * sites, [64] * sites), calibration(10, 6, quantization=10))
    assert actions(plan) == [QUANTIZE if kept else SKIP] * sites
    expected = (6 * sites + 10) / (10 * sites)
    # Ratios are rounded to four digits.
    assert [decision.expected_ratio for decision in plan.decisions] == pytest.approx([expected] * sites, abs=1e-4)


def test_exempt_sites_bear_nothing() -> None:
    model = shared_model(["w_i8_sym_ch"] * 3, [64] * 3)
    plan = judged(model, calibration(10, 6, quantization=10), Rule("linear_0", exempt=True))
    assert actions(plan) == ["exempt", SKIP, SKIP]


def test_a_site_that_gains_nothing_by_itself_stays_out_of_a_group_that_does() -> None:
    output = replace(calibration(10, 2), quantization=Shared(4, 0, 0))
    int8 = replace(FREE, fixed=5, weight_byte=1)  # a microsecond a byte: large ones lose
    by = replace(output, variants={**output.variants, "default-8bit": replace(FREE, fixed=10_000), "int8": int8})
    plan = judged(shared_model(["w_i8_sym_ch"] * 2, [4, 64]), by)
    assert actions(plan) == [QUANTIZE, SKIP]
    assert [decision.expected_ratio and decision.expected_ratio < 1 for decision in by_name(plan)] == [True, False]


def test_weights_without_calibration_are_kept_and_pay_for_the_activation() -> None:
    model = shared_model(["w_i8_sym_ch", "w_i4_sym_g64"], [64, 64])
    plan = judged(model, calibration(10, 6, quantization=10), requantize=True)
    assert actions(plan) == [QUANTIZE, QUANTIZE]
    eight, four = by_name(plan)
    assert eight.expected_ratio == pytest.approx(0.6, abs=1e-4)
    assert four.expected_ratio is None
    assert "i4" in four.reason
    assert "not calibrated" in four.reason


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 100), st.floats(0.1, 100), st.floats(0, 100))
def test_a_plan_never_takes_longer_than_the_default(default: float, int8: float, quantization: float) -> None:
    plan = judged(PAIR, calibration(default, int8, quantization))
    kept = len(plan.chosen(QUANTIZE))
    assert kept in (0, 2)
    # What the planner adds up, up to the order of additions.
    assert kept * int8 + (quantization if kept else 0) <= kept * default * (1 + 1e-6)


PAIR = pair_model()


def test_four_bits_are_compared_with_four_bits() -> None:
    """Reading twice the bytes costs more for one token than int8 saves; many tokens do not feel it."""
    model = linear_model("w_i4_sym_g64", k=2048, n=512)
    few, many = (make_plan(model, Settings(**FASTER, requantize=True, at_tokens=n)) for n in (1, 4096))
    assert (actions(few), actions(many)) == ([SKIP], [QUANTIZE])
    assert few.decisions[0].method is None
    assert many.decisions[0].method == "requantize"


# What is left out


def test_what_is_left_out_keeps_the_plugins_own_quantization() -> None:
    model = linear_model()
    slow, fast = calibration(1, 2), calibration(2, 1)
    assert judged(model, fast).model_group_size == 0
    assert judged(model, slow).model_group_size == OWN
    assert make_plan(model, Settings(**FASTER, at_tokens=1)).model_group_size == 32


def test_exempt_sites_are_not_quantized_by_the_plugin_either() -> None:
    plan = judged(pair_model(), calibration(1, 2), Rule("linear_0", exempt=True))
    assert actions(plan) == ["exempt", SKIP]
    assert plan.model_group_size == 0
    assert any("exempt" in note for note in plan.notes)


def test_the_models_own_group_size_stays() -> None:
    model = linear_model()
    write_option(ModelMetadata(model), GROUP_SIZE, "64")
    assert make_plan(model, Settings(**FASTER, at_tokens=1)).model_group_size == 64


# Files


@pytest.mark.parametrize("tokens", [1, 4096])
def test_plans_survive_a_file(tmp_path: Path, tokens: int) -> None:
    plan = make_plan(linear_model(), Settings(**FASTER, at_tokens=tokens))
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == plan


def test_settings_survive_a_file(tmp_path: Path) -> None:
    asked = Settings(**FASTER, at_tokens=64)
    assert settings_from_dict(settings_to_dict(asked)) == asked
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({**FASTER, "at_tokens": 64}))
    assert load_settings(path) == asked


# Refusals


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({**FASTER, "at_tokens": 0}, ["at_tokens", "0"]),
        ({**CPU, "at_tokens": 3}, ["at_tokens", "only_if_faster"]),
        ({**FASTER, "at_tokens": 3.5}, ["whole number"]),
        ({**CPU, "only_if_faster": 1}, ["bool"]),
    ],
)
def test_no_settings(wrong: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        settings_from_dict(wrong)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": "gpu-xmx"}, ["gpu-xmx", "calibrate_costs.py"]),
        ({"target": "gpu-no-xmx"}, ["gpu-no-xmx", "calibrate_costs.py"]),
        ({"target": "gpu-no-xmx", "lowering": "native"}, ["gpu-no-xmx", "calibrate_costs.py"]),
        ({"lowering": "native"}, ["native", "int8"]),
        ({"lowering": "emulate"}, ["emulate", "int8"]),
    ],
)
def test_nothing_is_expected_without_measurements(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        make_plan(linear_model(), Settings(**{**FASTER, **changes}))
    assert all(word in str(error.value) for word in words)


# The command line


def test_apply_carries_it_out(ovpass: CommandLine, tmp_path: Path) -> None:
    flags = ("--lowering", "int8", "--target", "cpu", "--requantize", "--only-if-faster", "--at-tokens")
    report = ovpass.succeed("apply", LLAMA, "-o", tmp_path / "many", *flags, 100_000, "--json").json
    quantized = [each for each in report["decisions"] if each["action"] == "quantize"]
    assert quantized
    assert all(each["expected_ratio"] < 1 for each in quantized)
    verified = ovpass.succeed("apply", LLAMA, "-o", tmp_path / "one", *flags, 1, "--verify", "--json").json
    assert verified["counts"] == {"quantize": 0, "exempt": 0, "skip": 15}
    model = ov.Core().read_model(tmp_path / "one" / "openvino_model.xml")
    assert not [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]


def test_plan_then_apply(ovpass: CommandLine, tmp_path: Path) -> None:
    flags = ("--lowering", "int8", "--target", "cpu", "--requantize", "--only-if-faster")
    planned = ovpass.succeed("plan", ENCODER, *flags, "-o", tmp_path / "plan.yaml", "--json").json
    applied = ovpass.succeed("apply", ENCODER, "-o", tmp_path / "out", "--plan", tmp_path / "plan.yaml", "--json").json
    assert applied["decisions"] == planned["decisions"]
    assert applied["notes"] == planned["notes"]


def test_gpu_is_refused_in_a_line(ovpass: CommandLine) -> None:
    assert "calibrate_costs.py" in ovpass.refuse("plan", LLAMA, "--only-if-faster")
    assert "at_tokens" in ovpass.refuse("plan", LLAMA, "--at-tokens", 3)
