"""Strip: the original graph again, node by node, with the same numbers, and no trace of what was done."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass import api
from ovpass.errors import ModelError, SettingsError
from ovpass.passes import Exempt, PassManager, Strip
from ovpass.settings.settings import Rule
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.reference_arithmetic import Array
from tests.builders import (
    FORMATS,
    attention_model,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    lora_model,
    shared_model,
    tensor_iterator_model,
    tied_model,
    trio_model,
    weight_format,
)
from tests.passes.helpers import (
    GROUP_SIZE,
    activations,
    core,
    interface,
    nodes,
    outputs,
    same,
    structure,
    together,
    transformed,
)

EXEMPT = Rule("re:.*", exempt=True)
PASSES: dict[str, tuple[Rule | None, dict[str, Any]]] = {
    "native": (None, {"group_size": 128}),
    "exempt-auto": (EXEMPT, {}),
    "exempt-rank-4": (EXEMPT, {"exempt_with": "rank-4"}),
    "exempt-precise": (EXEMPT, {"exempt_with": "precise"}),
    "exempt-f16-zero-point": (EXEMPT, {"exempt_with": "f16-zero-point"}),
    "exempt-f16-weights": (EXEMPT, {"exempt_with": "f16-weights"}),
    "exempt-cpu": (EXEMPT, {"target": "cpu"}),
    "cap-64": (Rule("re:(.*_0|q_proj)", group_size=64), {"group_size": 256}),
    "cap-32": (Rule("re:(.*_0|q_proj)", group_size=32), {"group_size": 256}),
    "int8": (None, {"lowering": "int8"}),
    "emulate": (None, {"lowering": "emulate"}),
    "emulate-cpu": (None, {"lowering": "emulate", "target": "cpu"}),
    "emulate-groups": (None, {"lowering": "emulate", "group_size": 64, "threshold": 0, "symmetric": False}),
    "emulate-axis": (None, {"lowering": "emulate", "axis": 0}),
}
FOR_FORMATS = [how for how in PASSES if not how.startswith("emulate-")]
"""Those that look at the form of the weights, and emulate once."""


def changed(model: ov.Model, how: str) -> ov.Model:
    rule, settings = PASSES[how]
    return transformed(model, *([rule] if rule else []), **settings)


def same_structure(one: ov.Model, other: ov.Model) -> bool:
    return structure(one) == structure(other) and interface(one) == interface(other) and marks(one) == marks(other)


def marks(model: ov.Model) -> dict[str, list[str]]:
    """The keys of all nodes' runtime info, but for one by which OpenVINO remembers where in a file Constants were."""
    return {
        name: sorted(key for key in node.get_rt_info() if not key.startswith("WeightlessCache"))
        for name, node in nodes(model).items()
    }


@cache
def sample(fmt: str) -> ov.Model:
    """A model that no test changes: MatMuls "linear_0" of the format and "linear_1" of another."""
    if weight_format(fmt).output != "f32":
        return shared_model([fmt], [16], 256)
    return shared_model([fmt, "w_i8_sym_ch"], [16, 16], 256)


@pytest.mark.slow
@pytest.mark.parametrize("how", FOR_FORMATS)
def test_every_format_comes_back(how: str) -> None:
    originals, stripped, touched = {}, {}, set()
    for fmt in FORMATS:
        original = sample(fmt)
        with contextlib.suppress(SettingsError):  # these weights take this not, which the plan says
            made = changed(original, how)
            touched |= set() if structure(made) == structure(original) else {fmt}
            originals[fmt], stripped[fmt] = original, api.strip(made)
    assert {fmt for fmt in originals if not same_structure(originals[fmt], stripped[fmt])} == set()
    assert not any("ovpass" in model.rt_info for model in stripped.values())
    assert len(touched) >= (5 if how == "int8" else 20) or how in ("native", "exempt-precise")  # no node is touched
    inputs = {fmt: inputs_of(model, fmt) for fmt, model in originals.items()}
    found = together(stripped, inputs, 0)
    assert {fmt for fmt in originals if not same(found[fmt], answers_of_samples()[fmt])} == set()


@cache
def answers_of_samples() -> dict[str, list[Array]]:
    models = {fmt: sample(fmt) for fmt in FORMATS}
    return together(models, {fmt: inputs_of(model, fmt) for fmt, model in models.items()}, 0)


def inputs_of(model: ov.Model, fmt: str) -> dict[str, Any]:
    kind = model.input("x").get_element_type().to_dtype()
    return {"x": activations(weight_format(fmt).batch or 1, 9, 256, kind=kind)}


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "trio": (lambda: trio_model("w_i8_sym_ch", k=256), {}),
    "attention": (lambda: attention_model("w_i8_sym_ch", k=256), {}),
    "lora": (lambda: lora_model("w_i8_sym_ch", k=256), {}),
    "if": (lambda: if_model("w_i8_sym_ch", k=256), {"condition": np.array(False)}),
    "loop": (lambda: loop_model("w_i8_sym_ch", k=256, trips=2), {}),
    "iterator": (lambda: tensor_iterator_model("w_i8_sym_ch", k=256), {}),
    "transposed": (lambda: linear_model("w_i8_sym_ch", k=256, transpose_a=True), {"x": activations(1, 256, 9)}),
    "dynamic-k": (lambda: linear_model("w_i8_sym_ch", k=256, dynamic_k=True), {}),
    "static": (lambda: linear_model("w_i8_sym_ch", k=256, static_tokens=9, bias=True), {}),
    "weights-first": (lambda: linear_model("w_i8_sym_ch", k=256, weights_on_input0=True), {}),
    "tied": (lambda: tied_model(hidden=256), {"x": np.arange(9)[None]}),
}


@cache
def graph(name: str) -> ov.Model:
    """A model that no test changes."""
    return MODELS[name][0]()


@cache
def answer_of(name: str) -> list[Array]:
    return outputs(graph(name), {"x": activations(1, 9, 256), **MODELS[name][1]}, 0)


@pytest.mark.parametrize("how", [how for how in PASSES if how not in ("native", "exempt-cpu", "cap-32", "emulate-cpu")])
@pytest.mark.parametrize("name", MODELS)
def test_every_graph_comes_back(name: str, how: str) -> None:
    original, more = graph(name), MODELS[name][1]
    try:
        made = changed(original, how)
    except SettingsError:
        return
    stripped = api.strip(made)
    assert same_structure(original, stripped)
    inputs = {"x": activations(1, 9, 256), **more}
    assert same(outputs(stripped, inputs, 0), answer_of(name))


@pytest.mark.parametrize("how", ["native", "exempt-auto", "exempt-f16-zero-point", "exempt-precise", "emulate"])
@pytest.mark.parametrize("bare_names", [True, False])
def test_decoders_come_back(how: str, bare_names: bool) -> None:
    original = llama_model(bare_names=bare_names)
    assert same_structure(original, api.strip(changed(original, how)))


@pytest.mark.parametrize("how", PASSES)
def test_comes_back_from_a_file(how: str, tmp_path: Path) -> None:
    """What is needed to get back survives saving and reading."""
    original = trio_model("w_i4_sym_g128", k=256)
    try:
        made = changed(original, how)
    except SettingsError:
        return
    read_again = reread(made, tmp_path / "changed.xml")
    stripped, expected = api.strip(read_again), reread(original, tmp_path / "original.xml")
    assert {name: node[:2] for name, node in structure(stripped).items()} == {
        name: node[:2] for name, node in structure(expected).items()
    }
    inputs = {"x": activations(1, 9, 256)}
    assert same(outputs(stripped, inputs, 32), outputs(original, inputs, 32))
    assert marks(stripped) == marks(expected)


def reread(model: ov.Model, path: Path) -> ov.Model:
    ov.save_model(model, path, compress_to_fp16=False)
    return core().read_model(path)


def test_a_mixture_of_methods_comes_back() -> None:
    original = llama_model(fmt="w_i8_sym_ch")
    rules = (Rule("kind:lm_head", exempt=True), Rule("kind:mlp.down", group_size=64), Rule("layer:0", exempt=True))
    assert same_structure(original, api.strip(transformed(original, *rules, group_size=128)))


def test_the_models_own_precise_attributes_stay() -> None:
    marked = PassManager([Exempt({"linear_0": "precise"})]).run(trio_model("w_i8_sym_ch", k=256)).model
    made = transformed(marked, Rule("linear_1", exempt=True), exempt_with="precise")
    assert {site.name for site in find_compressed_matmuls(made) if site.precise} == {"linear_0", "linear_1"}
    assert {site.name for site in find_compressed_matmuls(api.strip(made)) if site.precise} == {"linear_0"}


# Runtime options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [how for how in PASSES if not how.startswith("cap")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {GROUP_SIZE: "64"},
        {"ACTIVATIONS_SCALE_FACTOR": "8.0"},
        {GROUP_SIZE: "0", "ACTIVATIONS_SCALE_FACTOR": "8.0", "KV_CACHE_PRECISION": "f16"},
    ],
)
def test_runtime_options_come_back(options: Mapping[str, str], how: str) -> None:
    model = linear_model("w_i8_sym_ch", k=256)
    for key, value in options.items():
        model.set_rt_info(value, ["runtime_options", key])
    made = changed(model, how)
    noncanonical = {key: value for key, value in options.items() if key != GROUP_SIZE}
    assert noncanonical.items() <= options_of(made).items()
    assert GROUP_SIZE in options_of(made)
    assert options_of(api.strip(made)) == dict(options)
    assert model.has_rt_info("runtime_options") == bool(options)  # the original is untouched


@pytest.mark.parametrize("how", ["native", "emulate"])
def test_options_that_were_taken_out_since_stay_out(how: str) -> None:
    original = linear_model("w_i8_sym_ch", k=256)
    made = changed(original, how)
    del made.rt_info["runtime_options"]
    stripped = api.strip(made)
    assert options_of(stripped) == {}
    assert same_structure(stripped, original)


def options_of(model: ov.Model) -> dict[str, str]:
    if not model.has_rt_info("runtime_options"):
        return {}
    keys = model.get_rt_info("runtime_options").value
    return {key: model.get_rt_info(["runtime_options", key]).astype(str) for key in keys}


def test_other_runtime_info_stays() -> None:
    model = linear_model("w_i8_sym_ch", k=256)
    model.set_rt_info("int8_sym", ["nncf", "weight_compression", "mode"])
    stripped = api.strip(changed(model, "exempt-f16-zero-point"))
    assert stripped.get_rt_info(["nncf", "weight_compression", "mode"]).astype(str) == "int8_sym"
    assert set(stripped.rt_info) == {"nncf"}


# Refusals -------------------------------------------------------------------------------------------------------------


def test_a_model_that_was_not_changed_is_refused() -> None:
    with pytest.raises(ModelError):
        api.strip(linear_model("w_i8_sym_ch"))


def test_a_stripped_model_is_not_changed_any_more() -> None:
    stripped = api.strip(changed(linear_model("w_i8_sym_ch"), "emulate"))
    with pytest.raises(ModelError):
        api.strip(stripped)
    assert same_structure(changed(stripped, "int8"), changed(stripped, "int8"))


def test_requantized_weights_are_refused() -> None:
    made = transformed(linear_model("w_u4_asym_g32"), lowering="int8", requantize=True)
    before = structure(made)
    with pytest.raises(ModelError):
        PassManager([Strip()]).run(made, in_place=True)
    assert structure(made) == before


def test_nothing_is_requantized_where_nothing_needs_it() -> None:
    original = linear_model("w_i8_sym_ch")
    assert same_structure(original, api.strip(transformed(original, lowering="int8", requantize=True)))


def test_strip_counts_what_it_takes_out() -> None:
    model = linear_model("w_i4_sym_g128")
    for how, counted in (
        ("exempt-f16-zero-point", "constants"),
        ("emulate", "nodes"),
        ("exempt-precise", "attributes"),
    ):
        (result,) = PassManager([Strip()]).run(changed(model, how)).results
        assert result.changed
        assert result.counts[counted] > 0
