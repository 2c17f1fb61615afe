"""Which layers there are to compress, and which group sizes suit them."""

from __future__ import annotations

import pytest

from ovpass.compression.advice import ask_targets, fitting_group
from ovpass.conversion.linear_layers import find_linear_layers, pick
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from tests.builders import linear_model, llama_model


@pytest.mark.parametrize("fmt", ["w_f16_plain", "w_f32_plain"])
def test_float_layers_have_the_kinds_that_compressed_ones_have(fmt: str) -> None:
    floats = find_linear_layers(ModelGraph(llama_model(fmt=fmt, lm_head_fmt=fmt)))
    sites = find_compressed_matmuls(llama_model())
    assert [(f.name, f.kind, f.layer, f.k, f.n) for f in floats] == [(s.name, s.kind, s.layer, s.k, s.n) for s in sites]
    assert {f.weights for f in floats if f.kind == "lm_head"} == {"self.model.embed_tokens.weight"}


@pytest.mark.parametrize("first", [False, True])
def test_k_and_n_are_told_by_the_transpositions(first: bool) -> None:
    (layer,) = find_linear_layers(ModelGraph(linear_model("w_f16_plain", k=96, n=32, weights_on_input0=first)))
    assert (layer.k, layer.n) == (96, 32)


def test_an_outer_product_is_none_of_them() -> None:
    assert find_linear_layers(ModelGraph(linear_model("w_f32_plain", k=1, n=32))) == []


def test_compressed_layers_are_none_of_them() -> None:
    assert find_linear_layers(ModelGraph(llama_model())) == []


def test_patterns_pick_float_layers() -> None:
    layers = find_linear_layers(ModelGraph(llama_model(fmt="w_f16_plain", lm_head_fmt="w_f16_plain")))
    picked = pick(layers, ("kind:attn+layer:1", "re:.*lm_head.*"))
    assert {layer.kind for layer in picked} == {"attn.q", "attn.k", "attn.v", "attn.out", "lm_head"}
    assert [layer.layer for layer in picked] == [1, 1, 1, 1, None]


@pytest.mark.parametrize(("lengths", "group"), [((576, 1536), 64), ((4096, 11008), 128), ((96,), 32), ((500,), None)])
def test_the_group_that_fits_every_length(lengths: tuple[int, ...], group: int | None) -> None:
    assert fitting_group(lengths) == group


@pytest.mark.parametrize(
    ("fmt", "target", "groups"),
    [
        ("w_i4_sym_g64", "cpu", (64, 32, 16)),
        ("w_i4_sym_g64", "gpu-xmx", (PER_TOKEN, 256, 128, 64, 32)),
        ("w_u4_asym_g64", "gpu-xmx", (PER_TOKEN, 64, 32)),
        ("w_nf4_g128", "gpu-xmx", ()),
    ],
)
def test_activation_groups_that_agree_with_the_weights(fmt: str, target: str, groups: tuple[int, ...]) -> None:
    sites = find_compressed_matmuls(linear_model(fmt, k=256))
    answers = {entry.target: entry for entry in ask_targets(sites)}
    assert answers[target].groups == groups
    assert answers[target].quantized == (1 if groups else 0)
