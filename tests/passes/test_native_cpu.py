"""The native lowering on the CPU plugin: exempt sites are bit-equal to quantization off, the others are not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass.errors import SettingsError
from ovpass.lowerings.planner import make_plan
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import CPU
from ovpass.targets.reference_arithmetic import Array
from tests.builders import (
    FORMATS,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    pair_model,
    tied_model,
    trio_model,
    weight_format,
)
from tests.passes.helpers import GROUP_SIZE, activations, compiled, outputs, relative, same, together, transformed

GROUP = 32
TRIO = ("linear_0", "linear_1", "linear_2")


def quantized_by_cpu(fmt: str) -> bool:
    return any(CPU.verdict(site, GROUP).eligible for site in find_compressed_matmuls(linear_model(fmt, k=256)))


QUANTIZED = [fmt for fmt in FORMATS if quantized_by_cpu(fmt)]


def exempting(model: ov.Model, names: Iterable[str], **settings: Any) -> ov.Model:
    rules = [Rule(name, exempt=True) for name in names]
    return transformed(model, *rules, target="cpu", group_size=GROUP, **settings)


def inputs_of(model: ov.Model, tokens: int, k: int = 256) -> dict[str, Array]:
    port = model.input("x")
    rank = len(port.get_partial_shape())
    return {"x": activations(*([1] * (rank - 2)), tokens, k, kind=port.get_element_type().to_dtype())}


def exempt_by(fmt: str) -> str | None:
    """The method that is chosen for these weights."""
    settings = Settings(target="cpu", group_size=GROUP, rules=(Rule("linear", exempt=True),))
    return make_plan(linear_model(fmt, k=256), settings).decisions[0].method


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, int], dict[str, list[Array]]]:
    """Outputs by format, of: "off", "on", "auto", "f16-weights"; 1 and 40 tokens."""
    originals = {fmt: linear_model(fmt, k=256) for fmt in QUANTIZED}
    variants = {"off": (originals, 0), "on": (originals, GROUP)}
    for how in ("auto", "f16-weights"):
        changed = {fmt: exempting(model, ["linear"], exempt_with=how) for fmt, model in originals.items()}
        variants[how] = (changed, GROUP)
    return {
        (variant, tokens): together(models, {fmt: inputs_of(originals[fmt], tokens) for fmt in models}, group)
        for tokens in (1, 40)
        for variant, (models, group) in variants.items()
    }


@pytest.mark.slow
@pytest.mark.vnni
@pytest.mark.parametrize("tokens", [1, 40])
@pytest.mark.parametrize("fmt", QUANTIZED)
def test_an_exempt_site_alone(alone: Any, fmt: str, tokens: int) -> None:
    off, on, found = (alone[variant, tokens][fmt] for variant in ("off", "on", "auto"))
    assert relative(on, off) > 1e-3
    assert same(found, off) if exempt_by(fmt) == "f16-zero-point" else close(found, off)


@pytest.mark.parametrize("tokens", [1, 40])
@pytest.mark.parametrize("fmt", QUANTIZED)
def test_an_exempt_site_with_plain_weights(alone: Any, fmt: str, tokens: int) -> None:
    assert close(alone["f16-weights", tokens][fmt], alone["off", tokens][fmt])


def test_all_but_unsigned_weights_without_zero_point_are_exempt_bit_for_bit() -> None:
    """Those fall back to plain weights, which take another kernel."""
    fallbacks = {fmt for fmt in QUANTIZED if exempt_by(fmt) != "f16-zero-point"}
    assert fallbacks == {fmt for fmt in QUANTIZED if fmt.startswith(("w_u8_sym", "w_u4_sym", "w_u2"))}


def close(actual: list[Array], expected: list[Array]) -> bool:
    """Equal but for the order of sums: plain weights go through another kernel where there is one token.

    A half-precision output is rounded on top.
    """
    return relative(actual, expected) < (2e-6 if expected[0].dtype == "float32" else 2**-10)


@pytest.mark.vnni
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("fmt", ["w_i8_sym_ch", "w_i4_sym_g128", "w_u4_asym_g64", "w_u8_sym_ch", "w_u8_asym_ch"])
def test_an_exempt_site_of_static_shape(fmt: str, rank: int) -> None:
    model = linear_model(fmt, k=256, rank=rank, static_tokens=5)
    inputs = inputs_of(model, 5)
    off, on = (outputs(model, inputs, group) for group in (0, GROUP))
    assert not same(on, off)
    assert same(outputs(exempting(model, ["linear"]), inputs, GROUP), off)


MEMBERS = [TRIO[:1], TRIO[1:2], TRIO[:2], TRIO]


@pytest.fixture(scope="module")
def trios() -> dict[Any, dict[str, list[Array]]]:
    """Outputs of trios by format: "off", "on", and with some members exempt."""
    originals = {fmt: trio_model(fmt, k=256, n=16) for fmt in QUANTIZED}
    inputs = {fmt: inputs_of(model, 20) for fmt, model in originals.items()}
    answers: dict[Any, dict[str, list[Array]]] = {
        "off": together(originals, inputs, 0),
        "on": together(originals, inputs, GROUP),
    }
    for exempt in MEMBERS:
        changed = {fmt: exempting(model, exempt) for fmt, model in originals.items()}
        answers[exempt] = together(changed, inputs, GROUP)
    return answers


@pytest.mark.slow
@pytest.mark.vnni
@pytest.mark.parametrize("exempt", MEMBERS)
@pytest.mark.parametrize("fmt", QUANTIZED)
def test_members_of_a_trio(trios: Any, fmt: str, exempt: tuple[str, ...]) -> None:
    off, on, found = (trios[variant][fmt] for variant in ("off", "on", exempt))
    for name, made, without, quantized in zip(TRIO, found, off, on, strict=True):
        assert not same([without], [quantized])
        assert same([made], [without if name in exempt else quantized]), name


@pytest.mark.vnni
def test_members_of_a_trio_with_plain_weights() -> None:
    model = trio_model("w_i4_sym_g64", k=256, n=32)
    for exempt in MEMBERS:
        check_members(model, exempt, inputs_of(model, 20), "f16-weights")


@pytest.mark.vnni
@pytest.mark.parametrize("fmt", ["w_i4_sym_g64", "w_u8_asym_ch"])
def test_members_of_a_static_trio(fmt: str) -> None:
    model = trio_model(fmt, k=256, n=32)
    model.reshape({"x": [1, 20, 256]})
    for exempt in (TRIO[:1], TRIO):
        check_members(model, exempt, inputs_of(model, 20))


@pytest.mark.vnni
def test_members_of_a_mixed_trio() -> None:
    model = trio_model(["w_i8_sym_ch", "w_u4_asym_g64", "w_i4_sym_g32"], k=256, n=32)
    for exempt in (TRIO[:1], TRIO[1:2], TRIO[2:], TRIO[:2]):
        check_members(model, exempt, inputs_of(model, 20))


def check_members(model: ov.Model, exempt: tuple[str, ...], inputs: dict[str, Array], method: str = "auto") -> None:
    """Exempt members compute as with quantization off, the others as without exemptions."""
    off, on = (outputs(model, inputs, group) for group in (0, GROUP))
    found = outputs(exempting(model, exempt, exempt_with=method), inputs, GROUP)
    for name, made, without, quantized in zip(TRIO, found, off, on, strict=True):
        assert not same([without], [quantized])
        assert same([made], [without if name in exempt else quantized]), name


def test_one_of_a_pair() -> None:
    model = pair_model("w_i8_sym_ch", k=256)
    inputs = inputs_of(model, 20)
    off, on = (outputs(model, inputs, group) for group in (0, GROUP))
    found = outputs(exempting(model, ["linear_1"]), inputs, GROUP)
    assert same(found, [on[0], off[1]])


@pytest.mark.parametrize("build", [if_model, loop_model])
def test_in_a_body(build: Any) -> None:
    model = build("w_u4_asym_g32", k=256)
    inputs = inputs_of(model, 5) | ({"condition": True} if build is if_model else {"trips": 2})
    names = [site.name for site in find_compressed_matmuls(model)]
    assert same(outputs(exempting(model, names), inputs, GROUP), outputs(model, inputs, 0))


@pytest.mark.vnni
@pytest.mark.slow
@pytest.mark.parametrize("exempt", ["kind:attn.q", "kind:mlp", "kind:lm_head", "re:.*"])
def test_in_a_decoder(exempt: str) -> None:
    """With everything exempt the logits are bit-equal to off; with less, they change but are not those of on."""
    model = llama_model()
    inputs = decoder_inputs()
    changed = transformed(model, Rule(exempt, exempt=True), target="cpu", group_size=GROUP)
    off, on, found = (
        outputs(compiled(each, group, KV_CACHE_PRECISION="f32"), inputs)
        for each, group in ((model, 0), (model, GROUP), (changed, None))
    )
    assert same(found, off) == (exempt == "re:.*")
    assert not same(found, on)
    assert relative(found, off) < 0.5


def decoder_inputs() -> dict[str, Any]:
    return {
        "input_ids": np.arange(12)[None] % 320,
        "attention_mask": np.ones((1, 12), np.int64),
        "position_ids": np.arange(12)[None],
        "beam_idx": np.zeros(1, np.int32),
    }


def test_tied_weights_are_exempt_without_changing_the_embedding() -> None:
    model = tied_model()
    inputs = {"x": np.arange(10)[None]}
    assert same(outputs(exempting(model, ["lm_head"]), inputs, GROUP), outputs(model, inputs, 0))


def test_the_group_size_is_in_the_model() -> None:
    model = linear_model("w_u4_asym_g128")
    inputs = inputs_of(model, 5, 512)
    changed = transformed(model, target="cpu", group_size=64)
    assert changed.get_rt_info(["runtime_options", GROUP_SIZE]).astype(str) == "64"
    assert same(outputs(changed, inputs), outputs(model, inputs, 64))


@pytest.mark.parametrize("method", ["rank-4", "precise"])
def test_methods_without_effect_on_the_cpu_are_refused(method: str) -> None:
    with pytest.raises(SettingsError):
        exempting(linear_model("w_i8_sym_ch"), ["linear"], exempt_with=method)


@pytest.mark.vnni
@pytest.mark.parametrize("method", ["rank-4", "precise"])
def test_those_methods_really_have_none(method: str) -> None:
    """Exempted for a GPU, the CPU plugin quantizes all the same."""
    model = linear_model("w_i8_sym_ch", k=256)
    changed = transformed(model, Rule("linear", exempt=True), target="gpu-xmx", exempt_with=method)
    inputs = inputs_of(model, 5)
    assert not same(outputs(changed, inputs, GROUP), outputs(model, inputs, 0))


# Weights rewritten for another target --------------------------------------------------------------------------------

GPU_REWRITES = [
    ("f16-zero-point", {"exempt": True}),
    ("f16-weights", {"exempt": True}),
    ("rank-4", {"exempt": True}),
    ("precise", {"exempt": True}),
    ("cap", {"group_size": 64}),
    ("cap", {"group_size": 32}),
]


REWRITABLE = [fmt for fmt in QUANTIZED if not weight_format(fmt).batch]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "rule"), GPU_REWRITES)
def test_rewritten_weights_have_the_same_values(method: str, rule: dict[str, Any]) -> None:
    """With quantization off, each rewriting is bit-equal to the original on the CPU plugin."""
    originals = {fmt: linear_model(fmt, k=256) for fmt in REWRITABLE}
    changed = {}
    for fmt, model in originals.items():
        how = {} if method == "cap" else {"exempt_with": method}
        with contextlib.suppress(SettingsError):  # these weights cannot be rewritten so, which the plan says
            changed[fmt] = transformed(model, Rule("linear", **rule), group_size=256, **how)
    assert len(changed) > 20
    for tokens in (1, 9):
        inputs = {fmt: inputs_of(model, tokens) for fmt, model in originals.items()}
        found, expected = together(changed, inputs, 0), together(originals, inputs, 0)
        equal = close if method == "f16-weights" else same
        assert {fmt for fmt in changed if not equal(found[fmt], expected[fmt])} == set()
