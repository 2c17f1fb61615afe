"""Proof on the CPU plugin: active, with which group size, or silently off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.settings.settings import Rule
from ovpass.sites import find_compressed_matmuls
from ovpass.support.cpu_features import has_amx
from ovpass.targets import CPU
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Question, verify
from ovpass.verification.cpu import found_on_cpu
from ovpass.verification.report import OTHERWISE
from tests.builders import (
    activation,
    finish,
    if_model,
    linear_model,
    llama_model,
    matmul,
    pair_model,
    swiglu_model,
    trio_model,
)
from tests.passes.helpers import transformed
from tests.targets.cases import CHAINS
from tests.targets.scaled_cases import AFTER, multiplied, scaled
from tests.verification.command import ENCODER, LLAMA, CommandLine, saved

I8 = "w_i8_sym_ch"
F32 = {"INFERENCE_PRECISION_HINT": "f32"}
ON_CPU = Question(device="CPU")


def found(model: ov.Model, group: int, hint: str = "f32", likely: int | None = None) -> set[int | None]:
    sites = find_compressed_matmuls(model)
    properties = {"INFERENCE_PRECISION_HINT": hint, GROUP_SIZE: str(group)}
    return set(found_on_cpu(sites, properties, {site.name: likely for site in sites}).values())


@pytest.mark.vnni
@pytest.mark.parametrize("group", [16, 32, 48, 64, 128, 256, 512])
@pytest.mark.parametrize("fmt", ["w_i8_sym_ch", "w_u8_asym_ch", "w_i4_sym_ch", "w_u4_asym_ch", "w_u2_ch"])
def test_active_with_the_group_that_was_asked_for(fmt: str, group: int) -> None:
    assert found(linear_model(fmt), group) == {group}


@pytest.mark.vnni
def test_whatever_was_expected() -> None:
    assert found(linear_model("w_i8_sym_ch"), 64, likely=32) == {64}


@pytest.mark.vnni
def test_all_of_k_and_a_shorter_last_group() -> None:
    assert found(linear_model("w_i8_sym_ch", k=576), 576) == {576}
    assert found(linear_model("w_i8_sym_ch", k=500), 128) == {128}


SILENTLY_OFF: dict[str, tuple[Callable[[], ov.Model], int]] = {
    "group above K": (lambda: linear_model("w_i8_sym_ch"), 1024),
    "per token": (lambda: linear_model("w_i8_sym_ch"), PER_TOKEN),
    "not a multiple of 16": (lambda: linear_model("w_i8_sym_ch"), 40),
    "8": (lambda: linear_model("w_i8_sym_ch"), 8),
    "weights' own group": (lambda: linear_model("w_i4_sym_g128"), 256),
    "weights' own group of 32": (lambda: linear_model("w_u4_asym_g32"), 64),
    "nf4": (lambda: linear_model("w_nf4_ch"), 32),
    "f8": (lambda: linear_model("w_f8e4m3_ch"), 32),
    "codebook": (lambda: linear_model("w_cb4_g64"), 32),
    "i4 with a zero point": (lambda: linear_model("w_i4_asym_g128_i4zp"), 32),
    "i8 with a zero point": (lambda: linear_model("w_i8_asym_ch"), 32),
    "float zero point": (lambda: linear_model("w_u4_asym_g128_f16zp_noconvert"), 32),
    "weights first": (lambda: linear_model("w_i8_sym_ch", weights_on_input0=True), 32),
    "rank 1": (lambda: linear_model("w_i8_sym_ch", rank=1), 32),
    "batched weights": (lambda: linear_model("p_i4_3d_weights_B4_ch"), 32),
    "one output": (lambda: linear_model("w_i8_sym_ch", n=1), 32),
    "chain": (CHAINS["multiply-subtract"], 32),
    "folded factor": (lambda: scaled(multiplied()), 32),
    "folded factors behind a bias": (lambda: scaled(AFTER["biased then divided by N"]), 32),
}


@pytest.mark.parametrize("case", SILENTLY_OFF)
def test_silently_off(case: str) -> None:
    build, group = SILENTLY_OFF[case]
    model = build()
    assert found(model, group) == {None}
    (site,) = find_compressed_matmuls(model)
    assert not CPU.verdict(site, group).eligible


QUANTIZED_IN_RANK_2 = (
    *("multiplied by 1x1xN", "multiplied by 1x1x1x1", "dividing a scalar", "biased"),
    *("relu then multiplied", "reshaped then multiplied", "read twice", "bias read twice"),
)
FOLDED = rf"\[2-(?!({'|'.join(QUANTIZED_IN_RANK_2)})\])"
"""The other cases of rank 2, whose factor the plugin folds: no CPU quantizes them."""


@pytest.mark.vnni(not_for=FOLDED)
@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("rank", [2, 3])
def test_sites_are_proved_with_the_biases_and_factors_behind_them(rank: int, name: str) -> None:
    model = scaled(AFTER[name], rank=rank)
    (site,) = find_compressed_matmuls(model)
    assert found(model, 32, likely=64) == {CPU.verdict(site, 32).group_size}


@pytest.mark.vnni
def test_a_bias_for_each_position_and_a_large_one_hide_nothing() -> None:
    positions = np.full((7, 64), 1e4, np.float32)
    assert found(scaled(lambda y: op.add(y, op.constant(positions)), rank=3), 32, likely=64) == {32}


@pytest.mark.vnni
def test_weights_of_zero_tell_nothing(tmp_path: Path) -> None:
    x = activation(I8, 64)
    codes = op.convert(op.constant(np.zeros((16, 64), np.int8)), "f32")
    zeros = op.matmul(x, op.multiply(codes, op.constant(np.ones((16, 1), np.float32))), False, True)
    model = finish([zeros, op.relu(matmul(x, I8, 16, 64, "other"))], [x], ["y", "z"])
    report = verify(saved(model, tmp_path), ON_CPU)[""]
    assert (report.ok, [check.name for check in report.sites]) == (True, ["other"])
    assert "1 site is unknown" in report.notes[0]


@pytest.mark.vnni
def test_bf16_ignores_every_group_where_there_is_amx(tmp_path: Path) -> None:
    amx = has_amx()
    seen = None if amx else OTHERWISE  # quantized, but bf16 rounds too coarsely to tell in what groups
    assert found(pair_model("w_i8_sym_ch"), 32, "bf16") == {seen}
    model = saved(linear_model("w_i8_sym_ch"), tmp_path)
    report = verify(model, Question(device="CPU", properties={"INFERENCE_PRECISION_HINT": "bf16"}))[""]
    assert [(check.planned, check.found) for check in report.mismatches] == [(32, seen)]
    assert ("computes in bf16" in report.notes[0]) == amx


@pytest.mark.vnni
@pytest.mark.parametrize(
    "shape", [{"rank": 2}, {"rank": 4}, {"static_tokens": 9}, {"transpose_a": True}, {"bias": True}]
)
def test_shapes(shape: dict[str, int]) -> None:
    assert found(linear_model("w_u4_asym_g128", **shape), 64) == {64}  # type: ignore[arg-type]


@pytest.mark.vnni
def test_f16_models() -> None:
    assert found(linear_model("p_i4_g128_no_outconv_f16"), 64) == {64}


@pytest.mark.vnni
def test_what_no_group_explains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ovpass.verification.cpu._close", lambda *_: False)
    assert found(linear_model("w_i8_sym_ch"), 32) == {OTHERWISE}
    report = verify(saved(linear_model("w_i8_sym_ch"), tmp_path), ON_CPU)[""]
    assert not report.ok
    assert "'otherwise'" in report.notes[0]


@pytest.mark.vnni
@pytest.mark.parametrize(("source", "sites"), [(LLAMA, 15), (ENCODER, 12)])
def test_models_as_they_are(source: Path, sites: int) -> None:
    report = verify(source, ON_CPU)[""]
    assert report.ok
    assert [check.found for check in report.sites] == [32] * sites


@pytest.mark.vnni
def test_the_irs_own_group_size_counts_not_the_plans(tmp_path: Path, ovpass: CommandLine) -> None:
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--target", "cpu", "--group-size", 16, "--quiet")
    assert {site["found"] for site in verified(ovpass, tmp_path / "out")} == {16}
    ovpass.succeed("plan", LLAMA, "-o", tmp_path / "plan.yaml", "--target", "cpu", "--group-size", 32, "--quiet")
    ran = ovpass("verify", tmp_path / "out", "--device", "cpu", "--plan", tmp_path / "plan.yaml", "--json")
    assert (ran.code, {(s["planned"], s["found"]) for s in ran.json["mismatches"]}) == (1, {(32, 16)})


def verified(ovpass: CommandLine, model: Path) -> list[dict[str, object]]:
    report = ovpass.succeed("verify", model, "--device", "CPU", "--json").json
    assert report["ok"]
    assert report["dynamic_quantize_nodes"] == 0
    return list(report["sites"])


@pytest.mark.vnni
@pytest.mark.parametrize("method", ["f16-zero-point", "f16-weights"])
def test_exempt_sites_and_only_they_are_off(tmp_path: Path, ovpass: CommandLine, method: str) -> None:
    exempt = ("--exempt", "kind:mlp.down", "--exempt-with", method)
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--target", "cpu", *exempt, "--quiet")
    off = {site["name"] for site in verified(ovpass, tmp_path / "out") if site["found"] == "not quantized"}
    assert {name for name in off if "down_proj" in str(name)} == off
    assert len(off) == 2


def test_a_group_that_weights_do_not_allow_is_planned_off_and_off(tmp_path: Path) -> None:
    report = verify(
        saved(swiglu_model("w_u4_asym_g32"), tmp_path), Question(device="CPU", properties={GROUP_SIZE: "64"})
    )[""]
    assert report.ok
    assert {check.found for check in report.sites} == {None}
    assert report.notes == (
        "3 sites are not quantized though the property says 64: "
        "the weights' own group of 32 is not a multiple of group size 64",
    )


def test_switched_off(tmp_path: Path) -> None:
    model = saved(linear_model("w_i8_sym_ch"), tmp_path)
    assert verify(model, Question(device="CPU", properties={GROUP_SIZE: "0"}))[""].ok


@pytest.mark.vnni
def test_bodies(tmp_path: Path) -> None:
    report = verify(saved(if_model("w_u4_asym_g32"), tmp_path), ON_CPU)[""]
    assert {check.name: check.found for check in report.sites} == {
        "if/then_body/body_linear": 32,
        "if/else_body/body_linear_else": 32,
    }


# The other lowerings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [linear_model("w_i8_sym_ch", bias=True), trio_model("w_i8_sym_ch"), swiglu_model("w_i8_sym_ch"), llama_model()],
    ids=["linear", "trio", "swiglu", "llama"],
)
def test_int8_products(tmp_path: Path, model: ov.Model) -> None:
    path = saved(transformed(model, lowering="int8", requantize=True, target="cpu"), tmp_path)
    report = verify(path, ON_CPU)[""]
    assert report.ok
    assert {check.found for check in report.sites} == {PER_TOKEN}


def test_int8_that_falls_back_is_told(tmp_path: Path) -> None:
    """u8 weights lower to int8 on the GPU only."""
    path = saved(transformed(linear_model("w_u8_sym_ch"), lowering="int8"), tmp_path)
    (check,) = verify(path, ON_CPU)[""].mismatches
    assert (check.planned, check.found) == (PER_TOKEN, None)


def test_int8_leaves_exempt_sites_alone(tmp_path: Path) -> None:
    model = transformed(pair_model("w_i8_sym_ch"), Rule("linear_0", exempt=True), lowering="int8", target="cpu")
    report = verify(saved(model, tmp_path), ON_CPU)[""]
    assert report.ok
    assert {check.name: check.found for check in report.sites} == {"linear_0": None, "linear_1": PER_TOKEN}


def test_int8_in_bodies_is_not_shown(tmp_path: Path) -> None:
    path = saved(transformed(if_model("w_i8_sym_ch"), lowering="int8", target="cpu"), tmp_path)
    report = verify(path, ON_CPU)[""]
    assert (report.ok, report.sites) == (True, ())
    assert report.notes[0] == "2 sites are in bodies of If or Loop, which the CPU plugin does not show"


def test_int8_in_initializers_of_states_is_not_shown(tmp_path: Path) -> None:
    """As K and V of cross attention are, which depend on nothing but the encoder's output."""
    x = activation(I8, 512)
    kept = op.read_value(matmul(x, I8, 64, 512, "initial"), "kept", ov.Type.f32, ov.PartialShape([-1, -1, 64]))
    output = op.relu(matmul(kept, I8, 32, 64, "linear"))
    model = finish([output], [x], ["y"], [op.assign(kept, "kept")])
    path = saved(transformed(model, lowering="int8", target="cpu"), tmp_path)
    report = verify(path, ON_CPU)[""]
    assert {check.name: check.found for check in report.sites} == {"linear": PER_TOKEN}
    assert report.notes[0] == "1 site is in initializers of states, which the CPU plugin does not show"


@pytest.mark.vnni
@pytest.mark.slow
def test_emulated_models_are_not_quantized_again(tmp_path: Path) -> None:
    path = saved(transformed(llama_model(), lowering="emulate", group_size=32), tmp_path)
    report = verify(path, ON_CPU)[""]
    assert report.ok
    assert {check.found for check in report.sites} == {None}
    again = verify(path, Question(device="CPU", properties={**F32, GROUP_SIZE: "32"}))[""]
    assert {check.found for check in again.mismatches} == {32}


@pytest.mark.vnni
def test_the_plan_is_the_models_note(tmp_path: Path) -> None:
    path = saved(transformed(linear_model("w_i8_sym_ch"), target="cpu", group_size=128), tmp_path)
    report = verify(path, ON_CPU)[""]
    assert [(check.planned, check.found) for check in report.sites] == [(128, 128)]
