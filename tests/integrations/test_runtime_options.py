"""What is said of runtime options, against what the plugins answer when they are asked after compiling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op
from openvino.op.util import Variable, VariableInfo

import ovpass
from ovpass.errors import SettingsError
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE, read_option, write_option
from ovpass.planning.explain import explain
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import CPU, TARGETS
from ovpass.targets.effective_options import Surroundings, in_force, options_in_force
from ovpass.targets.names import get_profile
from ovpass.targets.runtime_options import (
    BY_CHANNEL,
    IGNORED,
    KEY_MODE,
    KV_CACHE,
    NO_CACHE,
    OBEYED,
    OPTIONS,
    show_value,
)
from ovpass.verification.driver import current_driver
from ovpass.verification.simulated_gpu import RECORDING
from tests.builders import linear_model, llama_model
from tests.documents import ROOT, read
from tests.integrations.option_probe import answers

LLAMA = ROOT / "models/tiny-llama-int4/openvino_model.xml"
KEY, VALUE, SCALE = "KEY_CACHE_PRECISION", "VALUE_CACHE_PRECISION", "ACTIVATIONS_SCALE_FACTOR"
KEY_GROUP, VALUE_GROUP = "KEY_CACHE_GROUP_SIZE", "VALUE_CACHE_GROUP_SIZE"
MODE = "EXECUTION_MODE_HINT"
STORED_AS = {"u8": "i8", "i4": "u4"}
"""On GPUs: the plugin takes both for one."""


@dataclass(frozen=True)
class Case:
    """An option to look at, and what is said to the device."""

    name: str
    ir: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


ON_CPU = [
    *(Case(name) for name, obedience in CPU.options.items() if obedience.reported),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}, {GROUP_SIZE: "16"}),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}, {MODE: "ACCURACY"}),
    Case(GROUP_SIZE, {}, {}, {f"OV_{GROUP_SIZE}": "48"}),
    *(Case(name, {KV_CACHE: text}) for name in (KV_CACHE, KEY) for text in ("f32", "f16", "bf16", "u8", "U4", "")),
    *(Case(KV_CACHE, {KV_CACHE: text}) for text in ("abc", "int8")),
    Case(KV_CACHE, {KV_CACHE: "u8"}, {KV_CACHE: "f16"}),
    Case(KV_CACHE, {KV_CACHE: "u8"}, {MODE: "ACCURACY"}),
    Case(KV_CACHE, {KV_CACHE: "abc"}, {MODE: "ACCURACY"}),
    Case(KV_CACHE, {KV_CACHE: "abc"}, {KV_CACHE: "f16"}),
    Case(KV_CACHE, {}, {}, {f"OV_{KV_CACHE}": "f16"}),
    Case(KEY, {KEY: "u4", KV_CACHE: "f16"}),
    Case(VALUE, {VALUE: "u4", KV_CACHE: "f16"}),
    Case(KEY, {KEY: "u4"}, {KV_CACHE: "f16"}),
    Case(KEY, {KV_CACHE: "u4"}, {KEY: "f16"}),
    Case(KEY, {KEY: "u8"}, {MODE: "ACCURACY"}),
    Case(KEY, {KV_CACHE: "u8"}, {MODE: "ACCURACY"}),
    Case(VALUE, {}, {VALUE: "f16", MODE: "ACCURACY"}),
    Case(KEY_GROUP, {KEY_GROUP: "16"}),
    Case(VALUE_GROUP, {VALUE_GROUP: "16"}, {VALUE_GROUP: "8"}),
    Case(KEY_GROUP, {KEY_GROUP: "abc"}),
    Case(KEY_GROUP, {KEY_GROUP: "abc"}, {KEY_GROUP: "16"}),
]

VARIABLES = {f"OV_{GROUP_SIZE}": "48", f"OV_{LARGEST_GROUP_SIZE}": "512", f"OV_{KV_CACHE}": "f32", f"OV_{SCALE}": "4"}

ON_GPU = [
    Case(GROUP_SIZE),
    Case(LARGEST_GROUP_SIZE),
    Case(KV_CACHE),
    Case(SCALE),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}, {GROUP_SIZE: "96"}),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}, {MODE: "ACCURACY"}),
    Case(LARGEST_GROUP_SIZE, {LARGEST_GROUP_SIZE: "256"}),
    Case(LARGEST_GROUP_SIZE, {LARGEST_GROUP_SIZE: "256"}, {LARGEST_GROUP_SIZE: "64"}),
    Case(LARGEST_GROUP_SIZE, {LARGEST_GROUP_SIZE: "abc"}),
    Case(GROUP_SIZE, {GROUP_SIZE: "abc"}, {GROUP_SIZE: "64"}),
    *(Case(KV_CACHE, {KV_CACHE: text}) for text in ("u8", "f32", "i4", "abc")),
    Case(KV_CACHE, {KV_CACHE: "u8"}, {KV_CACHE: "f16"}),
    Case(KV_CACHE, {KV_CACHE: "u8"}, {MODE: "ACCURACY"}),
    Case(SCALE, {SCALE: "8"}),
    Case(SCALE, {SCALE: "8"}, {SCALE: "2.5"}),
    Case(SCALE, {SCALE: "abc"}),
    Case(GROUP_SIZE, {GROUP_SIZE: "64"}, {GROUP_SIZE: "96"}, VARIABLES),
    Case(LARGEST_GROUP_SIZE, {LARGEST_GROUP_SIZE: "64"}, {}, VARIABLES),
    Case(KV_CACHE, {KV_CACHE: "u8"}, {KV_CACHE: "u4"}, VARIABLES),
    Case(SCALE, {SCALE: "8"}, {}, VARIABLES),
]


def predicted(case: Case, target: str, *, keeps_cache: bool) -> str | None:
    """What explain says, None where it says that compile_model throws."""
    model = linear_model("w_u8_asym_ch", 256, 64)
    for name, text in case.ir.items():
        write_option(ModelMetadata(model), name, text)
    around = Surroundings(ModelMetadata(model), keeps_cache, case.properties, case.environment)
    try:
        return in_force(OPTIONS[case.name], TARGETS[target], around).value
    except SettingsError:
        return None


def question(case: Case, model: Path, device: str) -> dict[str, Any]:
    return {"model": str(model), "device": device, **asdict(case)}


@pytest.mark.parametrize("case", ON_CPU, ids=str)
def test_the_cpu_plugin_agrees(case: Case) -> None:
    assert [predicted(case, "cpu", keeps_cache=True)] == answers([question(case, LLAMA, "CPU")])


DEVICES = {"gpu-xmx": "arc-a770", "gpu-no-xmx": "iris-xe"}
"""Devices that every driver knows."""


def ask_gpu(target: str, cases: list[Case], model: Path, folder: Path) -> list[str | None]:
    """What the plugin says in a process of its own."""
    environment = {**RECORDING, **get_profile(DEVICES[target]).environment}
    driver = current_driver()
    asked = json.dumps([question(case, model, "GPU") for case in cases])
    done = subprocess.run(
        driver.command([sys.executable, "-m", "tests.integrations.option_probe", asked]),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **driver.variables(), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: list[str | None] = json.loads(done.stdout.splitlines()[-1])
    return [STORED_AS.get(text, text) if text else None for text in found]


@pytest.mark.usefixtures("simulated_gpu")
@pytest.mark.parametrize("target", DEVICES)
def test_the_gpu_plugin_agrees(target: str, tmp_path: Path) -> None:
    x = op.parameter([1, 16], ov.Type.f32)
    model = tmp_path / "relu.xml"  # any model will do, and this one compiles quickest
    ov.save_model(ov.Model([op.relu(x)], [x]), model)
    expected = [predicted(case, target, keeps_cache=False) for case in ON_GPU]
    stored = [STORED_AS.get(text, text) if text else None for text in expected]
    assert stored == ask_gpu(target, ON_GPU, model, tmp_path)


def cache_alone() -> ov.Model:
    """Attention over a KV cache and nothing else: what the plugin tells a language model by."""
    x, beam = op.parameter([-1, 2, -1, 16], ov.Type.f32), op.parameter([-1], ov.Type.i32)
    info = VariableInfo()
    info.data_shape, info.data_type, info.variable_id = x.get_partial_shape(), ov.Type.f32, "cache"
    variable = Variable(info)
    batch = op.gather(op.shape_of(x, "i64"), np.array([0]), np.int64(0))
    empty = op.broadcast(np.float32(0), op.concat([batch, op.constant(np.array([2, 0, 16]))], 0))
    cache = op.concat([op.gather(op.read_value(empty, variable), beam, np.int64(0)), x], 2)
    mixed = op.scaled_dot_product_attention(x, cache, cache)
    return ov.Model([op.result(mixed)], [op.assign(cache, variable)], [x, beam], "cache")


@pytest.mark.usefixtures("simulated_gpu")
def test_models_with_a_kv_cache_have_no_scale_factor_from_the_ir(tmp_path: Path) -> None:
    case = Case(SCALE, {SCALE: "8"})
    ov.save_model(cache_alone(), tmp_path / "cache.xml", compress_to_fp16=False)
    assert ask_gpu("gpu-xmx", [case], tmp_path / "cache.xml", tmp_path) == ["-1"]
    assert predicted(case, "gpu-xmx", keeps_cache=True) == "-1"
    model = llama_model(blocks=1)
    write_option(ModelMetadata(model), SCALE, "8")
    found = explain(ModelMetadata(model), find_compressed_matmuls(model), TARGETS["gpu-xmx"], {})
    (scale,) = (option for option in found.options if option.name == SCALE)
    assert (scale.value, scale.default) == ("-1", True)
    assert "ignores" in scale.steps[0]


def next_logits(properties: Mapping[str, str] = MappingProxyType({}), /, **options: str) -> np.ndarray[Any, Any]:
    """Logits after 33 tokens, of which 32 come out of the cache; `options` are those of the IR."""
    core = ov.Core()
    model = core.read_model(LLAMA)
    for name, text in options.items():
        write_option(ModelMetadata(model), name, text)
    exact = {"INFERENCE_PRECISION_HINT": "f32", GROUP_SIZE: "0", **properties}
    request = core.compile_model(model, "CPU", exact).create_infer_request()
    for start, stop in ((0, 32), (32, 33)):
        result = request.infer(
            {
                "input_ids": np.arange(start + 1, stop + 1)[None],
                "attention_mask": np.ones((1, stop), np.int64),
                "position_ids": np.arange(start, stop)[None],
                "beam_idx": np.zeros(1, np.int32),
            }
        )
    return np.array(result[0])


@pytest.mark.slow
def test_the_cpu_keeps_its_cache_in_the_type_that_the_ir_names() -> None:
    exact = next_logits(**{KV_CACHE: "f32"})
    errors = {kind: float(np.abs(next_logits(**{KV_CACHE: kind}) - exact).max()) for kind in ("f16", "u8", "u4")}
    assert 0 < errors["f16"] < errors["u8"] < errors["u4"]
    assert np.array_equal(next_logits(), next_logits(**{KV_CACHE: "u8"}))
    assert not np.array_equal(next_logits(**{KEY_GROUP: "16"}), next_logits())
    assert np.array_equal(next_logits(**{KV_CACHE: "f32", KEY: "u8", VALUE: "u8"}), next_logits())


@pytest.mark.slow
def test_the_cpu_takes_the_mode_of_keys_as_a_property_only() -> None:
    usual = next_logits()
    assert np.array_equal(next_logits({KEY_MODE: "BY_TOKEN"}), usual)
    assert not np.array_equal(next_logits({KEY_MODE: BY_CHANNEL}), usual)
    assert np.array_equal(next_logits(**{KEY_MODE: BY_CHANNEL}), usual)


def test_apply_writes_options_and_strip_restores_them(tmp_path: Path) -> None:
    model = ov.Core().read_model(LLAMA)
    write_option(ModelMetadata(model), KV_CACHE, "f16")
    original = tmp_path / "original/openvino_model.xml"
    original.parent.mkdir()
    ov.save_model(model, original, compress_to_fp16=False)
    settings = ovpass.Settings(group_size=32, runtime_options={KV_CACHE: "u8", LARGEST_GROUP_SIZE: "64"})
    ovpass.transform(original, tmp_path / "applied.xml", settings)
    applied = ModelMetadata(ov.Core().read_model(tmp_path / "applied.xml"))
    assert [read_option(applied, name) for name in (GROUP_SIZE, KV_CACHE, LARGEST_GROUP_SIZE)] == ["32", "u8", "64"]
    ovpass.strip_source(tmp_path / "applied.xml", tmp_path / "stripped.xml")
    stripped = ModelMetadata(ov.Core().read_model(tmp_path / "stripped.xml"))
    assert [read_option(stripped, name) for name in (GROUP_SIZE, KV_CACHE, LARGEST_GROUP_SIZE)] == [None, "f16", None]


def plan_with(target: str, **options: str) -> ovpass.Plan:
    model = linear_model("w_u8_asym_ch", 256, 64)
    return ovpass.make_plan(model, ovpass.Settings(group_size=128, target=target, runtime_options=options))


def test_what_the_target_ignores_in_the_ir_becomes_a_property() -> None:
    plan = plan_with("gpu-xmx", **{KV_CACHE: "u8"})
    assert plan.run_properties == {KV_CACHE: "u8"}
    assert any("ignores" in note for note in plan.notes)
    assert plan_with("gpu-no-xmx", **{KV_CACHE: "u8"}).run_properties == {}


@pytest.mark.parametrize("target", ["gpu-xmx", "gpu-no-xmx"])
def test_what_only_models_with_a_kv_cache_ignore_is_told_by_the_model(target: str) -> None:
    """The others need no property, and have nothing to be told."""
    settings = ovpass.Settings(target=target, runtime_options={SCALE: "8"})
    decoder = ovpass.make_plan(llama_model(blocks=1), settings)
    assert decoder.run_properties == {SCALE: "8"}
    assert any("KV cache" in note for note in decoder.notes)
    other = plan_with(target, **{SCALE: "8"})
    assert (other.run_properties, other.notes) == ({}, ())


def test_options_of_other_devices_are_noted() -> None:
    (note,) = plan_with("gpu-no-xmx", **{KEY: "u8"}).notes
    assert KEY in note
    assert "cpu" in note
    assert any("cpu does not compile" in note for note in plan_with("gpu-no-xmx", **{KV_CACHE: "i8"}).notes)


def test_a_value_that_the_target_does_not_compile_is_refused() -> None:
    with pytest.raises(SettingsError, match="f32, f16, bf16, u8, u4"):
        plan_with("cpu", **{KV_CACHE: "i8"})


def test_the_plan_heeds_the_largest_group_size() -> None:
    assert plan_with("gpu-xmx", **{LARGEST_GROUP_SIZE: "128"}).counts()["quantize"] == 1
    assert plan_with("gpu-xmx", **{LARGEST_GROUP_SIZE: "64"}).counts()["quantize"] == 0


def test_a_plan_keeps_its_options(tmp_path: Path) -> None:
    plan = plan_with("gpu-no-xmx", **{KV_CACHE: "u8"})
    plan.save(tmp_path / "plan.yaml")
    assert ovpass.Plan.load(tmp_path / "plan.yaml") == plan


def test_all_options_of_a_target_are_shown() -> None:
    around = Surroundings(ModelMetadata(linear_model("w_u8_asym_ch", 256, 64)), False, {}, {})
    for target in TARGETS.values():
        assert {option.name for option in options_in_force(target, around)} == set(target.options)
        assert set(target.options) <= set(OPTIONS)


IN_IR = {OBEYED: "", IGNORED: ", not from the IR", NO_CACHE: "; read from the IR only in models without a KV cache"}


def test_the_document_shows_the_table() -> None:
    rows = [line for line in read("docs/runtime-options.md").text.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{option.name}` | {option.meaning} | " + " | ".join(cell(name, target) for target in TARGETS) + " |"
        for name, option in OPTIONS.items()
    ]
    assert rows == expected


def cell(name: str, target: str) -> str:
    obedience = TARGETS[target].options.get(name)
    if obedience is None:
        return "-"
    where = IN_IR[obedience.ir] if obedience.as_property else ", from the environment only"
    return show_value(obedience.default) + where
