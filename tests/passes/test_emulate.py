"""The emulate lowering: the CPU plugin's own numbers, and those of the NumPy reference, whatever the form of a site."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass.errors import SettingsError
from ovpass.settings.settings import Rule
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import CPU
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.reference_arithmetic import Array, dequantized
from tests.builders import (
    FORMATS,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    lora_model,
    pair_model,
    tensor_iterator_model,
    tied_model,
    trio_model,
    weight_format,
)
from tests.passes.helpers import activations, compiled, nodes, outputs, relative, same, together, transformed

GROUPS = (16, 32, 64, 128)


def inputs_of(model: ov.Model, *shape: int, seed: int = 0) -> dict[str, Array]:
    kind = model.input("x").get_element_type().to_dtype()
    return {"x": activations(*shape, seed=seed, kind=kind)}


def tolerance(model: ov.Model) -> float:
    """Room for sums of products in another order: one step of a half-precision output, or 1e-5 in f32."""
    return 2**-10 if model.output(0).get_element_type() == ov.Type.f16 else 1e-5


@cache
def granted(fmt: str) -> list[int]:
    """The groups that the CPU plugin uses for these weights."""
    sites = find_compressed_matmuls(linear_model(fmt))
    return [group for group in GROUPS for site in sites if CPU.verdict(site, group).eligible]


QUANTIZED_BY_CPU = [fmt for fmt in FORMATS if granted(fmt)]

# Against the CPU plugin -----------------------------------------------------------------------------------------------


def test_the_cpu_quantizes_for_all_integer_types() -> None:
    assert {weight_format(fmt).type for fmt in QUANTIZED_BY_CPU} >= {"i8", "u8", "i4", "u4"}
    assert {group for fmt in QUANTIZED_BY_CPU for group in granted(fmt)} == set(GROUPS)


@pytest.fixture(scope="module")
def against_the_plugin() -> dict[tuple[int, int], dict[str, float]]:
    """By group size and number of tokens: the relative difference of each format from the plugin's own numbers."""
    found = {}
    for group in GROUPS:
        models = {fmt: linear_model(fmt) for fmt in QUANTIZED_BY_CPU if group in granted(fmt)}
        emulated = {fmt: emulate(model, group) for fmt, model in models.items()}
        for tokens in (1, 100):
            inputs = {f: inputs_of(model, weight_format(f).batch or 1, tokens, 512) for f, model in models.items()}
            made, native = together(emulated, inputs, 0), together(models, inputs, group)
            found[group, tokens] = {fmt: relative(made[fmt], native[fmt]) for fmt in models}
    return found


@pytest.mark.vnni
@pytest.mark.slow
@pytest.mark.parametrize("fmt", QUANTIZED_BY_CPU)
def test_agrees_with_the_cpu_plugin(against_the_plugin: Any, fmt: str) -> None:
    differences = {case: found[fmt] for case, found in against_the_plugin.items() if fmt in found}
    assert len(differences) == 2 * len(granted(fmt)) > 0
    assert max(differences.values()) < tolerance(linear_model(fmt))


@pytest.mark.vnni
def test_the_cpu_plugin_really_quantizes_in_that_comparison() -> None:
    model = linear_model("w_u4_asym_g128")
    inputs = inputs_of(model, 1, 100, 512)
    exact = outputs(model, inputs, 0)
    errors = [relative(outputs(model, inputs, group), exact) for group in GROUPS]
    assert min(errors) > 1e-3
    assert errors == sorted(errors)  # smaller groups are closer


@pytest.mark.vnni
@pytest.mark.parametrize("group", [48, 96, 192, 320])
def test_a_shorter_last_group_is_the_cpu_plugins(group: int) -> None:
    model = linear_model("w_i8_sym_ch")
    inputs = inputs_of(model, 1, 5, 512)
    emulated = outputs(emulate(model, group), inputs)
    assert relative(emulated, outputs(model, inputs, group)) < 1e-5
    assert relative(emulated, expected(model, inputs["x"], group)) < 1e-5
    assert relative(emulated, outputs(model, inputs, 0)) > 1e-3


@pytest.mark.vnni
@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("static", [None, 5])
def test_agrees_with_the_cpu_plugin_in_every_rank(rank: int, static: int | None) -> None:
    model = linear_model("w_i8_sym_ch", rank=rank, static_tokens=static)
    inputs = inputs_of(model, *([1] * (rank - 2)), 5, 512)
    assert relative(outputs(emulate(model, 32), inputs), outputs(model, inputs, 32)) < 1e-5


@pytest.mark.vnni
@pytest.mark.parametrize("build", [pair_model, trio_model, lora_model, loop_model, tensor_iterator_model])
def test_agrees_with_the_cpu_plugin_in_whole_graphs(build: Any) -> None:
    model = build("w_u4_asym_g32", k=256)
    inputs = inputs_of(model, 2, 7, 256) | ({"trips": np.int64(2)} if build is loop_model else {})
    assert relative(outputs(emulate(model, 32), inputs), outputs(model, inputs, 32)) < 1e-5


@pytest.mark.vnni
@pytest.mark.parametrize("condition", [True, False])
def test_agrees_with_the_cpu_plugin_in_both_branches_of_an_if(condition: bool) -> None:
    model = if_model("w_i4_sym_g128")
    inputs = inputs_of(model, 2, 7, 256) | {"condition": np.array(condition)}
    assert relative(outputs(emulate(model, 64), inputs), outputs(model, inputs, 64)) < 1e-5


@pytest.mark.vnni
def test_agrees_with_the_cpu_plugin_in_a_decoder_with_a_cache() -> None:
    model = llama_model()
    inputs = {
        "input_ids": np.arange(24).reshape(2, 12) % 320,
        "attention_mask": np.ones((2, 12), np.int64),
        "position_ids": np.arange(12)[None].repeat(2, 0),
        "beam_idx": np.arange(2, dtype=np.int32),
    }
    exact, native = (outputs(compiled(model, group, KV_CACHE_PRECISION="f32"), inputs) for group in (0, 32))
    emulated = outputs(compiled(emulate(model, 32), KV_CACHE_PRECISION="f32"), inputs)
    # a difference in the last bit turns over single roundings in later layers; 5 % of what quantization does
    assert relative(emulated, native) < 0.05 * relative(native, exact)


def emulate(model: ov.Model, group_size: int, *rules: Rule, **settings: Any) -> ov.Model:
    return transformed(model, *rules, lowering="emulate", target="cpu", group_size=group_size, **settings)


# Against the reference ------------------------------------------------------------------------------------------------


def expected(model: ov.Model, x: Array, group_size: int, **options: Any) -> list[Array]:
    """The original's outputs for an activation that NumPy has quantized."""
    return outputs(model, {"x": dequantized(x, group_size, **options)}, 0)


ARITHMETICS = [(symmetric, target) for symmetric in (True, False) for target in ("cpu", "gpu-xmx", "gpu")]


@pytest.mark.parametrize(("symmetric", "target"), ARITHMETICS)
@pytest.mark.parametrize(
    ("axis", "group"), [(-1, 32), (-1, 128), (-1, PER_TOKEN), (2, 64), (2, PER_TOKEN), (-2, PER_TOKEN), (1, PER_TOKEN)]
)
def test_is_the_numpy_reference(symmetric: bool, target: str, group: int, axis: int) -> None:
    model = linear_model("w_i8_sym_ch", k=256)
    x = activations(2, 100, 256)
    settings = {"target": target, "symmetric": symmetric, "axis": axis, "threshold": 0, "group_size": group}
    found = outputs(transformed(model, lowering="emulate", **settings), {"x": x})
    wanted = expected(model, x, group, axis=axis, symmetric=symmetric, half=target != "cpu")
    # exact but for the order of sums; the CPU's scales have no more than f32's last bit of doubt, which can turn over
    # the rounding of single codes (half of 127 steps each, among 256)
    assert relative(found, wanted) < (1e-6 if target != "cpu" else 1e-3)


@pytest.mark.parametrize("group", [16, 32])
@pytest.mark.parametrize("axis", [-2, 1])
def test_groups_along_another_axis(group: int, axis: int) -> None:
    model = linear_model("w_i8_sym_ch", static_tokens=64, k=256)
    x = activations(1, 64, 256)
    changed = transformed(model, lowering="emulate", group_size=group, axis=axis, threshold=0)
    assert relative(outputs(changed, {"x": x}), expected(model, x, group, axis=axis, half=True)) < 1e-6


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [64, PER_TOKEN])
def test_transposed_activations(symmetric: bool, group: int) -> None:
    model = linear_model("w_i8_sym_ch", k=256, transpose_a=True)
    x = activations(2, 256, 100)
    changed = transformed(model, lowering="emulate", group_size=group, threshold=0, symmetric=symmetric)
    wanted = expected(model, x, group, axis=-2, symmetric=symmetric, half=True)
    assert relative(outputs(changed, {"x": x}), wanted) < 1e-6


@pytest.mark.parametrize("group", [64, PER_TOKEN])
def test_weights_on_the_first_input(group: int) -> None:
    model = linear_model("w_i8_sym_ch", k=256, weights_on_input0=True)
    x = activations(2, 100, 256)
    changed = transformed(model, lowering="emulate", group_size=group, threshold=0)
    assert relative(outputs(changed, {"x": x}), expected(model, x, group, half=True)) < 1e-6


@pytest.mark.parametrize("group", [64, PER_TOKEN])
def test_a_length_that_only_the_weights_tell(group: int) -> None:
    model = linear_model("w_u4_asym_g32", k=256, dynamic_k=True)
    x = activations(2, 100, 256)
    changed = transformed(model, lowering="emulate", group_size=group, threshold=0)
    assert relative(outputs(changed, {"x": x}), expected(model, x, group, half=True)) < 1e-6


@pytest.mark.parametrize("threshold", [0, 4])
@pytest.mark.parametrize("target", ["cpu", "gpu-xmx"])
def test_half_precision_models(target: str, threshold: int) -> None:
    model = linear_model("p_i4_g128_no_outconv_f16")
    x = activations(1, 100, 512, kind=np.float16)
    changed = transformed(model, lowering="emulate", target=target, group_size=128, threshold=threshold)
    wanted = expected(model, x.astype(np.float32).astype(np.float16), 128, half=target != "cpu")
    # activations and outputs are rounded to half: 11 bits
    assert relative(outputs(changed, {"x": x}), wanted) < 2e-3


@pytest.mark.slow
def test_every_format_is_emulated() -> None:
    models = {fmt: linear_model(fmt, k=256) for fmt in FORMATS}
    models = {fmt: model for fmt, model in models.items() if find_compressed_matmuls(model)}
    inputs = {fmt: inputs_of(model, weight_format(fmt).batch or 1, 9, 256) for fmt, model in models.items()}
    changed = {fmt: transformed(model, lowering="emulate", group_size=64, threshold=0) for fmt, model in models.items()}
    references = {fmt: {"x": dequantized(values["x"], 64, half=True)} for fmt, values in inputs.items()}
    found, wanted = together(changed, inputs, 0), together(models, references, 0)
    assert {fmt for fmt in models if relative(found[fmt], wanted[fmt]) > tolerance(models[fmt])} == set()


# Thresholds -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [1, 12, 64])
@pytest.mark.parametrize("rank", [2, 3, 4])
def test_the_threshold_is_decided_at_run_time(threshold: int, rank: int) -> None:
    model = linear_model("w_i8_sym_ch", rank=rank, k=256)
    ready = compiled(transformed(model, lowering="emulate", threshold=threshold))
    for tokens in (threshold, threshold + 1, 1, 200):
        x = activations(*([1] * (rank - 2)), tokens, 256)
        exact = outputs(model, {"x": x}, 0)
        wanted = expected(model, x, 256, half=True) if tokens > threshold else exact
        assert relative(outputs(ready, {"x": x}), wanted) < 1e-6, tokens
        assert tokens <= threshold or relative(wanted, exact) > 1e-4


@pytest.mark.parametrize("shape", [(6, 2), (3, 4), (12, 1), (2, 3, 2)])
def test_tokens_of_all_leading_axes_count(shape: tuple[int, ...]) -> None:
    model = linear_model("w_i8_sym_ch", rank=len(shape) + 1, k=256)
    x = activations(*shape, 256)
    exact = outputs(model, {"x": x}, 0)
    assert same(outputs(transformed(model, lowering="emulate", threshold=12), {"x": x}), exact)
    quantized = outputs(transformed(model, lowering="emulate", threshold=11), {"x": x})
    assert relative(quantized, expected(model, x, 256, half=True)) < 1e-6


@pytest.mark.parametrize("form", ["transpose_a", "weights_on_input0", "dynamic_k"])
def test_the_threshold_counts_tokens_not_features(form: str) -> None:
    model = linear_model("w_i8_sym_ch", k=256, **{form: True})
    ready = compiled(transformed(model, lowering="emulate", threshold=8))
    for tokens in (8, 9):
        x = activations(1, tokens, 256)
        if form == "transpose_a":
            x = np.ascontiguousarray(np.swapaxes(x, 1, 2))
        exact = outputs(model, {"x": x}, 0)
        assert (relative(outputs(ready, {"x": x}), exact) > 1e-4) == (tokens > 8)


@pytest.mark.parametrize("axis", [-1, -2, 0])
def test_the_threshold_with_any_axis(axis: int) -> None:
    model = linear_model("w_i8_sym_ch", k=256)
    ready = compiled(transformed(model, lowering="emulate", threshold=8, axis=axis))
    for batch, tokens in ((2, 4), (3, 3)):
        x = activations(batch, tokens, 256)
        exact = outputs(model, {"x": x}, 0)
        wanted = expected(model, x, PER_TOKEN, axis=axis, half=True) if batch * tokens > 8 else exact
        assert relative(outputs(ready, {"x": x}), wanted) < 1e-6


# Sharing and rules ----------------------------------------------------------------------------------------------------


def test_sites_of_one_activation_share_a_quantizer() -> None:
    changed = emulate(trio_model("w_i8_sym_ch"), 32)
    sources = {nodes(changed)[f"linear_{i}"].input_value(0).get_node().get_name() for i in range(3)}
    assert len(sources) == 1
    assert count(changed, "ReduceMax") == 1


def test_sites_with_different_settings_do_not() -> None:
    rules = Rule("linear_1", group_size=128), Rule("linear_2", exempt=True)
    model = trio_model("w_i8_sym_ch")
    changed = emulate(model, 32, *rules)
    assert count(changed, "ReduceMax") == 2
    x = activations(1, 10, 512)
    y0, y1, y2 = outputs(changed, {"x": x})
    assert relative(y0, expected(model, x, 32)[0]) < 1e-3  # as above, f32 arithmetic
    assert relative(y1, expected(model, x, 128)[1]) < 1e-3
    assert same([y2], outputs(model, {"x": x}, 0)[2:])


def test_each_site_has_its_own_threshold_axis_and_symmetry() -> None:
    model = trio_model("w_i8_sym_ch")
    rules = (
        Rule("linear_0", threshold=20),
        Rule("linear_1", axis=-2),
        Rule("linear_2", symmetric=False),
    )
    x = activations(1, 10, 512)
    y0, y1, y2 = outputs(transformed(model, *rules, lowering="emulate", threshold=0), {"x": x})
    assert same([y0], outputs(model, {"x": x}, 0)[:1])
    assert relative(y1, expected(model, x, PER_TOKEN, axis=-2, half=True)[1]) < 1e-6
    assert relative(y2, expected(model, x, PER_TOKEN, symmetric=False, half=True)[2]) < 1e-6


@pytest.mark.vnni
def test_tied_weights_stay_tied() -> None:
    model = tied_model()
    changed = emulate(model, 32)
    inputs = {"x": np.arange(10)[None]}
    assert relative(outputs(changed, inputs), outputs(model, inputs, 32)) < 1e-5


def test_refuses_groups_that_do_not_divide() -> None:
    with pytest.raises(SettingsError):
        transformed(linear_model("w_i8_sym_ch"), lowering="emulate", group_size=96, target="gpu-xmx")
    with pytest.raises(SettingsError):  # how many tokens there will be is not known
        emulate(linear_model("w_i8_sym_ch"), 16, axis=-2)


def test_the_plugin_does_not_quantize_again() -> None:
    model = linear_model("w_i8_sym_ch")
    changed = emulate(model, 128)
    x = activations(1, 10, 512)
    assert same(outputs(changed, {"x": x}), outputs(changed, {"x": x}, 0))


def count(model: ov.Model, kind: str) -> int:
    return sum(node.get_type_name() == kind for node in nodes(model).values())
