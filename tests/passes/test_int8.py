"""The int8 lowering: close to emulate per token, and really an int8 product on both plugins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass import api
from ovpass.errors import SettingsError
from ovpass.ir.constant_folding import evaluate
from ovpass.lowerings.planner import make_plan
from ovpass.passes.requantize import Requantize
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.builders import (
    FORMATS,
    attention_model,
    if_model,
    linear_model,
    llama_model,
    pair_model,
    swiglu_model,
    trio_model,
    weight_format,
)
from tests.passes.helpers import (
    activations,
    compiled,
    distance,
    graphs,
    nodes,
    outputs,
    relative,
    same,
    structure,
    together,
    transformed,
)
from tests.simulated_gpu import Job
from tests.targets.cases import merged

K = 512


def plannable(fmt: str) -> bool:
    """Whether these weights lower as they are."""
    try:
        plan = make_plan(linear_model(fmt), Settings(lowering="int8"))
    except SettingsError:
        return False
    return bool(plan.chosen("quantize"))


SITES = [fmt for fmt in FORMATS if find_compressed_matmuls(linear_model(fmt))]
PLAIN = [fmt for fmt in SITES if plannable(fmt)]
"""Formats that need no re-quantization."""


def int8(model: ov.Model, *rules: Rule, **settings: Any) -> ov.Model:
    return transformed(model, *rules, lowering="int8", **settings)


def test_eight_bits_one_scale_a_channel_no_zero_point() -> None:
    for fmt in PLAIN:
        (site,) = find_compressed_matmuls(linear_model(fmt))
        assert site.weight_type in ("i8", "u8")
        assert site.symmetric
        assert site.weight_group_size is None
    assert {"w_i8_sym_ch", "w_u8_sym_ch", "p_i8_ch_tb_false_KN", "p_i8_ch_transpose_node"} <= set(PLAIN)


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.vnni(not_for="w_u8_sym_ch")
@pytest.mark.parametrize("tokens", [1, 100])
@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("fmt", PLAIN)
def test_agrees_with_emulate_per_token(fmt: str, rank: int, tokens: int) -> None:
    model = linear_model(fmt, rank=rank)
    inputs = {"x": activations(*([1] * (rank - 2)), tokens, K)}
    emulated = transformed(model, lowering="emulate", target="cpu", group_size=PER_TOKEN, threshold=0)
    # the scale differs in its last bits, so codes midway between two may turn over: each is one step of 1/127 of the
    # largest of 512 activations
    assert distance(outputs(int8(model), inputs), outputs(emulated, inputs)) < 2e-3


def test_tokens_near_zero_are_divided_by_the_floor() -> None:
    model, x = linear_model("w_i8_sym_ch"), activations(1, 20, K)
    x *= 0.001 / np.abs(x).max()
    codes = np.rint(x / np.float32(0.003) * 127) * np.float32(0.003) / 127
    assert relative(outputs(int8(model), {"x": x}), outputs(model, {"x": codes}, 0)) < 1e-3


@pytest.mark.vnni(not_for=r"\[0-")
@pytest.mark.parametrize("hint", ["f32", "bf16"])
@pytest.mark.parametrize("size", [1e-5, 1e-12, 0])
def test_the_cpu_has_a_floor_of_its_own(size: float, hint: str) -> None:
    model, inputs = linear_model("w_i8_sym_ch"), {"x": activations(1, 20, K) * np.float32(size)}
    lowered = compiled(int8(model, target="cpu"), INFERENCE_PRECISION_HINT=hint)
    (expected,) = outputs(transformed(model, lowering="emulate", target="cpu", group_size=PER_TOKEN), inputs)
    (found,) = outputs(lowered, inputs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1 * size)


def test_the_floor_of_the_cpu_is_none_that_half_precision_lacks() -> None:
    model = int8(linear_model("p_i4_g128_no_outconv_f16"), target="cpu", requantize=True)
    assert np.isfinite(outputs(model, {"x": np.zeros((1, 9, K), np.float16)})).all()


@pytest.mark.vnni
@pytest.mark.parametrize("static", [None, 20])
@pytest.mark.parametrize("bias", [False, True])
def test_agrees_in_other_shapes(static: int | None, bias: bool) -> None:
    model = linear_model("w_i8_sym_ch", static_tokens=static, bias=bias)
    inputs = {"x": activations(1, 20, K)}
    emulated = transformed(model, lowering="emulate", target="cpu", group_size=PER_TOKEN)
    assert distance(outputs(int8(model), inputs), outputs(emulated, inputs)) < 2e-3


@pytest.mark.vnni
@pytest.mark.parametrize("build", [trio_model, attention_model, swiglu_model, if_model])
def test_agrees_in_whole_graphs(build: Any) -> None:
    model = build("w_i8_sym_ch", k=256)
    inputs = {"x": activations(2, 20, 256)} | ({"condition": True} if build is if_model else {})
    exact = outputs(model, inputs, 0)
    emulated = outputs(transformed(model, lowering="emulate", target="cpu", group_size=PER_TOKEN), inputs)
    found = outputs(int8(model), inputs)
    # roundings that turn over in one layer are inputs of the next; still far less than quantization itself does
    assert distance(found, emulated) < 0.25 * distance(emulated, exact)


def test_tiny_and_zero_activations_stay_finite() -> None:
    model = linear_model("w_i8_sym_ch")
    x = np.zeros((1, 3, K), np.float32)
    x[0, 1] = 1e-6 * activations(K)
    (y,) = outputs(int8(model), {"x": x})
    assert np.isfinite(y).all()
    assert not y[0, 0].any()


# Plugins --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", ["f32", "bf16"])
@pytest.mark.parametrize("fmt", [fmt for fmt in PLAIN if weight_format(fmt).type == "i8"])
def test_runs_in_int8_on_the_cpu(fmt: str, hint: str) -> None:
    for shape in ({}, {"static_tokens": 20}, {"rank": 2}, {"bias": True}):
        assert products(int8(linear_model(fmt, **shape)), hint) == [True], shape


def test_all_products_of_a_graph_run_in_int8_on_the_cpu() -> None:
    assert products(int8(trio_model("w_i8_sym_ch")), "f32") == [True] * 3
    assert products(int8(swiglu_model("w_i8_sym_ch")), "f32") == [True] * 3


def test_unsigned_weights_are_refused_for_the_cpu_alone() -> None:
    """With them the CPU plugin takes a reference kernel in f32."""
    model = linear_model("w_u8_sym_ch")
    assert products(int8(model), "f32") == [False]
    with pytest.raises(SettingsError):
        int8(model, target="cpu")
    assert products(int8(model, target="cpu", requantize=True), "f32") == [True]


def test_the_check_itself_tells_native_from_int8() -> None:
    """The plugin's own quantization shows as f32 inputs, though `runtimePrecision` says i8."""
    assert products(linear_model("w_i8_sym_ch"), "f32") == [False]


def products(model: ov.Model, hint: str) -> list[bool]:
    """For each FullyConnected on the CPU plugin, whether its activation and its kernel are int8."""
    runtime = compiled(model, INFERENCE_PRECISION_HINT=hint).get_runtime_model()
    found = []
    for node in runtime.get_ordered_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) == "FullyConnected":
            kind = node.input_value(0).get_element_type()
            found.append(kind == ov.Type.i8 and info["primitiveType"].astype(str).endswith("_i8"))
    return found


# The last products ---------------------------------------------------------------------------------------------------

LAST: dict[str, tuple[Callable[[], ov.Model], int]] = {
    "one": (lambda: linear_model("w_i8_sym_ch"), 1),
    "trio": (lambda: trio_model("w_i8_sym_ch", k=256), 1),
    "mlp": (lambda: swiglu_model("w_i8_sym_ch"), 1),
    "attention": (lambda: attention_model("w_i8_sym_ch", k=256), 1),
    "decoder": (lambda: llama_model(fmt="w_i8_sym_ch", lm_head_fmt="w_i8_sym_ch"), 1),
    "decoder-kv-outputs": (lambda: llama_model(fmt="w_i8_sym_ch", lm_head_fmt="w_i8_sym_ch", stateful=False), 3),
    "if": (lambda: if_model("w_i8_sym_ch", k=256), 2),
}
"""Models, and how many quantized activations have no MatMul between their product and an output."""


@pytest.mark.parametrize("case", LAST)
def test_scales_next_to_an_output_are_kept_apart_for_the_cpu_alone(case: str) -> None:
    build, expected = LAST[case]
    kinds = {
        target: Counter(
            node.get_type_name() for _, graph in graphs(int8(build(), target=target)) for node in graph.get_ops()
        )
        for target in ("gpu-xmx", "cpu")
    }
    assert kinds["cpu"] - kinds["gpu-xmx"] == Counter(MatMul=expected, Unsqueeze=expected, Constant=2 * expected)


@pytest.mark.parametrize("case", LAST)
def test_keeping_them_apart_can_be_undone(case: str) -> None:
    model = LAST[case][0]()
    assert structure(api.strip(int8(model, target="cpu"))) == structure(model)


@pytest.mark.parametrize("case", [case for case in LAST if not case.startswith("decoder")])
def test_keeping_them_apart_changes_no_number(case: str) -> None:
    model = LAST[case][0]()
    k = model.input("x").partial_shape[-1].get_length()
    inputs = {"x": activations(1, 5, k)} | ({"condition": True} if case == "if" else {})
    assert same(outputs(int8(model, target="cpu"), inputs), outputs(int8(model), inputs))


@pytest.mark.vnni
def test_only_the_last_product_leaves_bf16_on_the_cpu() -> None:
    """The plugin keeps in f32 what leads to an output, and the scales would lead it through the whole model."""
    for target, expected in (("cpu", 1), ("gpu-xmx", 3)):
        model = int8(swiglu_model("w_i8_sym_ch"), target=target)
        runtime = compiled(model, INFERENCE_PRECISION_HINT="bf16").get_runtime_model()
        products = [node for node in runtime.get_ordered_ops() if layer_type(node) == "FullyConnected"]
        from_int8 = [node for node in products if node.input_value(0).get_element_type() == ov.Type.i8]
        readers = [port.get_node() for node in from_int8 for port in node.output(0).get_target_inputs()]
        assert [node.get_output_element_type(0) for node in from_int8] == [ov.Type.bf16] * 3
        assert len([node for node in readers if node.get_output_element_type(0) == ov.Type.f32]) == expected


def layer_type(node: ov.Node) -> str:
    return str(node.get_rt_info()["layerType"].astype(str))


GPU_CASES: dict[str, Callable[[], ov.Model]] = {
    **{fmt: partial(linear_model, fmt) for fmt in PLAIN},
    **{f"requantized-{fmt}": partial(linear_model, fmt) for fmt in ("w_u4_asym_g64", "w_i4_sym_g128")},
    "rank-2": lambda: linear_model("w_i8_sym_ch", rank=2),
    "rank-4": lambda: linear_model("w_i8_sym_ch", rank=4),
    "static": lambda: linear_model("w_i8_sym_ch", static_tokens=70),
    "bias": lambda: linear_model("w_i8_sym_ch", bias=True),
    "trio": lambda: trio_model("w_i8_sym_ch"),
    "pair": lambda: pair_model("w_i8_sym_ch"),
}


@pytest.fixture(scope="module")
def on_gpu(simulated_gpu: Callable[..., list[Observation]]) -> Observation:
    models = {name: int8(build(), requantize=True) for name, build in GPU_CASES.items()}
    (done,) = simulated_gpu([Job(merged(models), {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0})])
    return done


@pytest.mark.parametrize("case", GPU_CASES)
def test_runs_in_int8_on_the_gpu(on_gpu: Observation, case: str) -> None:
    assert on_gpu.error is None
    found = [node for node in on_gpu.matmuls if any(name.startswith(f"{case}/") for name in node.names)]
    assert len({name for node in found for name in node.names}) == {"trio": 3, "pair": 2}.get(case, 1)
    for node in found:
        assert (node.kind, node.activation_type, node.quantizer) == ("FullyConnected", "i8", None)


# Sharing --------------------------------------------------------------------------------------------------------------


def test_an_activation_is_quantized_once() -> None:
    for build, members in ((pair_model, 2), (trio_model, 3)):
        changed = int8(build("w_i8_sym_ch"))
        kinds = [node.get_type_name() for node in nodes(changed).values()]
        assert kinds.count("ReduceMax") == kinds.count("FakeQuantize") == 1
        assert kinds.count("MatMul") == members


def test_exempt_members_read_the_plain_activation() -> None:
    model = trio_model("w_i8_sym_ch")
    inputs = {"x": activations(1, 9, K)}
    y0, y1, y2 = outputs(int8(model, Rule("linear_1", exempt=True)), inputs)
    all_of_them, exact = outputs(int8(model), inputs), outputs(model, inputs, 0)
    assert same([y1], exact[1:2])
    assert same([y0, y2], [all_of_them[0], all_of_them[2]])


# Refusals and re-quantization -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", [fmt for fmt in SITES if fmt not in PLAIN])
def test_other_weights_are_refused_or_skipped(fmt: str) -> None:
    model = linear_model(fmt)
    if weight_format(fmt).batch:  # not a matrix: no rewriting would help
        assert make_plan(model, Settings(lowering="int8")).chosen("quantize") == []
    else:
        with pytest.raises(SettingsError):
            int8(model)
        api.apply(model, make_plan(model, Settings(lowering="int8", rules=(Rule("linear", exempt=True),))))


@pytest.mark.parametrize(
    "settings",
    [
        {"group_size": 128},
        {"threshold": 64},
        {"axis": -2},
        {"symmetric": False},
        {"group_size": 128, "requantize": True},
    ],
)
def test_settings_that_the_subgraph_cannot_carry_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        int8(linear_model("w_i8_sym_ch"), **settings)
    rule = {key: value for key, value in settings.items() if key != "requantize"}
    with pytest.raises(SettingsError):
        int8(linear_model("w_i8_sym_ch"), Rule("linear", **rule))


REQUANTIZABLE = [fmt for fmt in SITES if not weight_format(fmt).batch]


@pytest.mark.parametrize("fmt", REQUANTIZABLE)
def test_requantized_weights_are_close(fmt: str) -> None:
    model = linear_model(fmt, k=256)
    changed = int8(model, requantize=True)
    before, after = (np.asarray(evaluate(weights_of(each)), np.float64) for each in (model, changed))
    if fmt in PLAIN:
        assert np.array_equal(before, after)
        return
    axis = -1 if weight_format(fmt).transpose_b else -2
    step = np.abs(before).max(axis, keepdims=True) / 127
    # half a step of 1/127 of the channel's largest weight, and a scale rounded to half precision
    assert (np.abs(after - before) <= 0.5 * step + 2**-10 * np.abs(before) + 1e-9).all()


@pytest.mark.parametrize("fmt", [*REQUANTIZABLE, "p_i4_3d_weights_B4_g128"])
def test_requantized_codes_are_those_of_nncfs_int8_sym(fmt: str) -> None:
    """round(w / s), s = max|w| / 127, in f32 with the scale not yet in half precision; where all are 0, s is 1."""
    model = linear_model(fmt, k=256)
    weights = np.asarray(evaluate(weights_of(model)), np.float32)
    Requantize(("linear",)).run(model)
    scale = np.abs(weights).max(-1 if weight_format(fmt).transpose_b else -2, keepdims=True) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1))
    multiply = weights_of(model).get_node()
    stored = multiply.input_value(1).get_node().data
    assert np.array_equal(multiply.input_value(0).get_node().input_value(0).get_node().data, np.rint(weights / scale))
    assert np.array_equal(stored, scale.astype(stored.dtype))


def weights_of(model: ov.Model) -> ov.Output:
    return nodes(model)["linear"].input_value(1)


@pytest.mark.vnni
@pytest.mark.slow
def test_requantized_models_run_and_stay_close() -> None:
    originals = {fmt: linear_model(fmt, k=256) for fmt in REQUANTIZABLE}
    changed = {fmt: int8(model, requantize=True) for fmt, model in originals.items()}
    inputs = {
        fmt: {"x": activations(1, 20, 256, kind=model.input("x").get_element_type().to_dtype())}
        for fmt, model in originals.items()
    }
    found, exact = together(changed, inputs, 0), together(originals, inputs, 0)
    # activations and weights of 8 bits, 1 % each
    assert {fmt for fmt in originals if relative(found[fmt], exact[fmt]) > 0.04} == set()


def test_requantized_products_run_in_int8() -> None:
    for fmt in ("w_u4_asym_g64", "w_i4_sym_g128", "w_u8_asym_ch", "w_nf4_g128", "onnx_qdq_u4_asym_g32"):
        assert products(int8(linear_model(fmt), requantize=True), "f32") == [True], fmt
