"""Which group size is really used: told beforehand, and checked where the CPU plugin's numbers can show it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
import openvino as ov
import pytest

from ovpass.errors import SettingsError
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE, write_option
from ovpass.planning.defaults import cache_of, threshold_of
from ovpass.planning.explain import Explanation, explain, targets_of
from ovpass.settings.settings import Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import TARGETS
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.runtime_options import THRESHOLD
from tests.builders import linear_model, llama_model
from tests.passes.helpers import activations

PRECISION, MODE = "INFERENCE_PRECISION_HINT", "EXECUTION_MODE_HINT"
F32 = {PRECISION: "f32"}
GPUS = [name for name, target in TARGETS.items() if target.device == "GPU"]


def answer(
    target: str,
    properties: Mapping[str, str],
    ir: str | None = None,
    limit: str | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Explanation:
    model = asking(ir)
    if limit is not None:
        write_option(ModelMetadata(model), LARGEST_GROUP_SIZE, limit)
    return explain(ModelMetadata(model), find_compressed_matmuls(model), TARGETS[target], properties, environment)


def asking(group_size: str | None) -> ov.Model:
    model = linear_model("w_u8_asym_ch", 256, 64)
    if group_size is not None:
        write_option(ModelMetadata(model), GROUP_SIZE, group_size)
    return model


@pytest.fixture(autouse=True)
def vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has."""
    monkeypatch.setattr("ovpass.targets.cpu.has_vnni", lambda: True)


def test_a_cpu_without_vnni_quantizes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/targets/test_cpu.py asks the plugin, on such a CPU."""
    monkeypatch.setattr("ovpass.targets.cpu.has_vnni", lambda: False)
    assert answer("cpu", F32).quantized == 0
    assert answer("cpu", {PRECISION: "bf16"}).quantized == 0
    assert answer("gpu-xmx", {}).quantized == 1


@pytest.mark.parametrize(("amx", "quantized"), [(True, 0), (False, 1)])
def test_in_bf16_a_cpu_quantizes_without_amx_only(amx: bool, quantized: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ovpass.targets.cpu.has_amx", lambda: amx)
    assert answer("cpu", {PRECISION: "bf16"}).quantized == quantized
    assert answer("cpu", F32).quantized == 1


@pytest.mark.parametrize(
    ("properties", "ir", "size", "source"),
    [
        ({}, None, PER_TOKEN, "default"),
        ({}, "128", 128, "IR"),
        ({GROUP_SIZE: "64"}, "128", 64, "property"),
        ({GROUP_SIZE: "64"}, None, 64, "property"),
        ({GROUP_SIZE: "-1"}, "128", PER_TOKEN, "property"),
        ({GROUP_SIZE: str(PER_TOKEN)}, "0", PER_TOKEN, "property"),
    ],
)
def test_property_before_ir_before_default(properties: dict[str, str], ir: str | None, size: int, source: str) -> None:
    found = answer("gpu-xmx", properties, ir)
    assert found.group_size == size
    assert source in found.source
    assert found.quantized == 1
    assert any("overrides" in step for step in found.steps) == (GROUP_SIZE in properties and ir is not None)


@pytest.mark.parametrize("target", TARGETS)
def test_zero_is_off(target: str) -> None:
    assert answer(target, F32 if target == "cpu" else {}, "0").quantized == 0
    assert answer(target, {GROUP_SIZE: "0", **(F32 if target == "cpu" else {})}, "64").quantized == 0


def test_the_limit_switches_the_gpu_off() -> None:
    assert answer("gpu-xmx", {GROUP_SIZE: "64"}, limit="64").quantized == 1
    assert answer("gpu-xmx", {GROUP_SIZE: "128"}, limit="64").quantized == 0
    assert answer("gpu-xmx", {GROUP_SIZE: "128", LARGEST_GROUP_SIZE: "128"}, limit="64").quantized == 1
    assert answer("gpu-xmx", {LARGEST_GROUP_SIZE: "64"}).quantized == 0
    assert answer("cpu", {GROUP_SIZE: "128", **F32}, limit="64").quantized == 1


@pytest.mark.parametrize("properties", [F32, {MODE: "ACCURACY"}])
@pytest.mark.parametrize("target", GPUS)
def test_f32_switches_gpus_off(target: str, properties: dict[str, str]) -> None:
    assert answer(target, properties).quantized == 0


def test_other_properties_are_said_to_have_no_bearing() -> None:
    assert any("NUM_STREAMS" in step for step in answer("gpu-xmx", {"NUM_STREAMS": "2"}).steps)


def test_properties_that_the_device_does_not_know() -> None:
    for target, name in (("gpu-xmx", "KEY_CACHE_PRECISION"), ("cpu", LARGEST_GROUP_SIZE), ("gpu-xmx", THRESHOLD)):
        assert any(name in step and "throws" in step for step in answer(target, {name: "64"}).steps)
    with pytest.raises(RuntimeError):
        ov.Core().compile_model(asking(None), "CPU", {LARGEST_GROUP_SIZE: "64"})


def test_the_environment_overrules_everything_on_gpus() -> None:
    variables = {f"OV_{GROUP_SIZE}": "32", f"OV_{LARGEST_GROUP_SIZE}": "64"}
    found = answer("gpu-xmx", {GROUP_SIZE: "128"}, "256", environment=variables)
    assert (found.group_size, found.quantized) == (32, 1)
    assert "environment" in found.source
    assert len(found.steps) == 2
    assert answer("gpu-xmx", {}, environment={f"OV_{LARGEST_GROUP_SIZE}": "64"}).quantized == 0
    assert answer("cpu", F32, "64", environment=variables).group_size == 64


def test_other_options_tell_who_sets_them() -> None:
    found = {option.name: option for option in answer("gpu-xmx", {}, environment={f"OV_{THRESHOLD}": "128"}).options}
    assert (found[THRESHOLD].value, found[THRESHOLD].default) == ("128", False)
    assert (found[LARGEST_GROUP_SIZE].value, found[LARGEST_GROUP_SIZE].default) == (str(PER_TOKEN), True)
    assert GROUP_SIZE not in found


@pytest.mark.parametrize("text", ["abc", "per-token", str(2**64)])
def test_what_the_plugin_would_refuse(text: str) -> None:
    for properties, ir in (({GROUP_SIZE: text}, None), ({}, text)):
        with pytest.raises(SettingsError, match=GROUP_SIZE):
            answer("gpu-xmx", properties, ir)
        with pytest.raises(RuntimeError):
            ov.Core().compile_model(asking(ir), "CPU", properties)
    with pytest.raises(SettingsError, match=LARGEST_GROUP_SIZE):
        answer("gpu-xmx", {}, limit=text)
    assert answer("gpu-xmx", {GROUP_SIZE: "64"}, text).group_size == 64


@pytest.mark.parametrize(
    ("device", "targets"),
    [
        (None, list(TARGETS)),
        ("CPU", ["cpu"]),
        ("GPU", GPUS),
        ("gpu.1", GPUS),
        ("gpu-xmx", ["gpu-xmx"]),
        ("lunar-lake", ["gpu-xe2"]),
        ("LNL", ["gpu-xe2"]),
    ],
)
def test_devices(device: str | None, targets: list[str]) -> None:
    assert [target.name for target in targets_of(device)] == targets


def test_no_such_device() -> None:
    with pytest.raises(SettingsError, match="NPU"):
        targets_of("NPU")


@cache
def result(ir: str | None, properties: tuple[tuple[str, str], ...]) -> bytes:
    compiled = ov.Core().compile_model(asking(ir), "CPU", dict(properties))
    return bytes(np.array(compiled([activations(1, 70, 256)])[0]).tobytes())


CPU_CASES = [
    ({}, None),
    ({}, "64"),
    (F32, None),
    (F32, "0"),
    (F32, "64"),
    (F32, "256"),
    (F32, "512"),
    (F32, "24"),
    (F32, "-1"),
    ({**F32, GROUP_SIZE: "0"}, "64"),
    ({**F32, GROUP_SIZE: "64"}, "0"),
    ({**F32, GROUP_SIZE: "64xyz"}, "0"),
    ({**F32, GROUP_SIZE: str(PER_TOKEN)}, "64"),
    ({PRECISION: "bf16"}, "64"),
    ({MODE: "ACCURACY"}, "64"),
    ({MODE: "ACCURACY", **F32}, "64"),
    ({MODE: "ACCURACY", **F32}, None),
    ({MODE: "ACCURACY", **F32, GROUP_SIZE: "64"}, None),
    ({MODE: "ACCURACY", GROUP_SIZE: "64"}, None),
    ({MODE: "PERFORMANCE", **F32}, "64"),
]


@pytest.mark.vnni(not_for=r"properties(3|6|7|8|9|12|14|15|16)-")
@pytest.mark.parametrize(("properties", "ir"), CPU_CASES)
def test_the_cpu_plugin_agrees(properties: dict[str, str], ir: str | None) -> None:
    """Quantized if and only if the numbers differ from those of group size 0."""
    found = answer("cpu", properties, ir)
    off = {**properties, GROUP_SIZE: "0"}
    differs = result(ir, tuple(properties.items())) != result(ir, tuple(off.items()))
    assert differs == bool(found.quantized)


@pytest.mark.parametrize("size", ["32", "128"])
def test_property_and_ir_give_the_same_numbers(size: str) -> None:
    by_property = result(None, ((PRECISION, "f32"), (GROUP_SIZE, size)))
    assert by_property == result(size, ((PRECISION, "f32"),))
    assert by_property == result("64", ((PRECISION, "f32"), (GROUP_SIZE, size)))


def test_how_keys_and_values_are_kept() -> None:
    model = llama_model(blocks=1)
    metadata, sites = ModelMetadata(model), find_compressed_matmuls(model)
    kept = {name: explain(metadata, sites, target, {}).cache for name, target in TARGETS.items()}
    assert {name: text.split()[-1] for name, text in kept.items() if text} == {
        "gpu-xmx": "f16", "gpu-xe2": "f16", "gpu-xe3p": "f16", "gpu-no-xmx": "i8", "cpu": "u8"
    }  # fmt: skip
    given = {"KEY_CACHE_PRECISION": "u4", "VALUE_CACHE_GROUP_SIZE": "16", "KEY_CACHE_QUANT_MODE": "BY_TOKEN"}
    found = explain(metadata, sites, TARGETS["cpu"], given).cache
    assert found == "keys in u4, values in u8, keys by token, values in groups of 16"
    encoder = linear_model("w_i8_sym_ch")
    assert explain(ModelMetadata(encoder), find_compressed_matmuls(encoder), TARGETS["cpu"], {}).cache is None


def test_a_plan_says_how_its_target_keeps_a_cache() -> None:
    assert cache_of(Settings(target="meteor-lake")) == "keys and values in i8"
    assert cache_of(Settings(target="cpu", runtime_options={"KV_CACHE_PRECISION": "u4"})) == "keys and values in u4"
    assert [threshold_of(Settings(target=name)) for name in ("arc-b580", "gpu-no-xmx")] == [64, 240]
    assert threshold_of(Settings(threshold=128)) == 128
