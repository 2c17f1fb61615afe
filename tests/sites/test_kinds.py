"""What linear layers are for, told from structure: names here serve to look the answer up, never to find it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

import ovpass
from ovpass.sites import KINDS, find_compressed_matmuls
from tests.builders import (
    activation,
    add_bias,
    attention_model,
    encoder_model,
    finish,
    linear_model,
    llama_model,
    matmul,
    swiglu,
    swiglu_model,
)
from tests.builders.layers import Value

FMT = "w_i8_sym_ch"
WIDTH, HEADS = 64, 4
SWAP = np.array([0, 2, 1, 3])

Roles = dict[str, tuple[str, int | None]]

DECODER = {
    "q_proj": "attn.q",
    "k_proj": "attn.k",
    "v_proj": "attn.v",
    "o_proj": "attn.out",
    "gate_proj": "mlp.gate",
    "up_proj": "mlp.up",
    "down_proj": "mlp.down",
}
ENCODER = {
    "attention.self.query": "attn.q",
    "attention.self.key": "attn.k",
    "attention.self.value": "attn.v",
    "attention.output.dense": "attn.out",
    "intermediate.dense": "mlp.up",
    "output.dense": "mlp.down",
}


def roles(model: ov.Model) -> Roles:
    return {site.name: (site.kind, site.layer) for site in find_compressed_matmuls(model)}


def linear(x: Value, name: str, n: int = WIDTH, k: int = WIDTH) -> ov.Output:
    return matmul(x, FMT, n, k, name, seed=sum(map(ord, name)))


def norm(x: Value) -> ov.Node:
    """RMSNorm."""
    mean = op.reduce_mean(op.power(x, np.float32(2)), np.array([-1]), keep_dims=True)
    return op.multiply(x, op.divide(np.float32(1), op.sqrt(op.add(mean, np.float32(1e-5)))))


def layer_norm(x: Value) -> ov.Node:
    return op.mvn(x, np.array([-1]), True, 1e-5, "inside_sqrt")


def split_heads(x: Value) -> ov.Node:
    return op.transpose(op.reshape(x, np.array([0, 0, HEADS, WIDTH // HEADS]), special_zero=True), SWAP)


def attend(query: Value, key: Value, value: Value) -> ov.Node:
    mixed = op.scaled_dot_product_attention(query, key, value, causal=False)
    return op.reshape(op.transpose(mixed, SWAP), np.array([0, 0, WIDTH]), special_zero=True)


def attention(x: Value, source: Value, name: str) -> ov.Output:
    query = split_heads(linear(x, f"{name}.q"))
    key, value = (split_heads(linear(source, f"{name}.{part}")) for part in "kv")
    return linear(attend(query, key, value), f"{name}.out")


def gelu_mlp(x: Value, name: str) -> ov.Output:
    return linear(op.gelu(linear(x, f"{name}.up", 2 * WIDTH), "erf"), f"{name}.down", k=2 * WIDTH)


def expected(name: str, kinds: Mapping[str, str]) -> tuple[str, int | None]:
    kind = next((kind for part, kind in kinds.items() if f"{part}/" in name), "lm_head")
    layer = int(name.split("layer")[1].strip("s.").split(".")[0]) if kind != "lm_head" else None
    return kind, layer


@pytest.mark.parametrize("stateful", [True, False])
def test_llama(stateful: bool) -> None:
    found = roles(llama_model(blocks=3, stateful=stateful))
    assert len(found) == 3 * 7 + 1
    assert found == {name: expected(name, DECODER) for name in found}


@pytest.mark.parametrize("stateful", [True, False])
def test_llama_with_bare_names(stateful: bool) -> None:
    found = roles(llama_model(blocks=3, bare_names=True, stateful=stateful))
    decoder = Counter((kind, block) for kind in DECODER.values() for block in range(3))
    assert Counter(found.values()) == decoder + Counter([("lm_head", None)])


@pytest.mark.parametrize("fmt", ["w_nf4_g128", "w_cb4_g64_f16table", "onnx_qdq_u4_asym_g32", "p_i8_ch_transpose_node"])
def test_llama_whatever_its_weights(fmt: str) -> None:
    found = roles(llama_model(fmt=fmt))
    assert found == {name: expected(name, DECODER) for name in found}


def test_encoder_without_a_head() -> None:
    found = roles(encoder_model(blocks=3))
    assert len(found) == 3 * 6
    kinds = {f"encoder.layer.{block}.{part}": kind for block in range(3) for part, kind in ENCODER.items()}
    assert found == {name: expected(name, kinds) for name in found}


def test_pooler_is_no_head() -> None:
    """The first token through a square layer and a Tanh, after the encoder."""
    model = encoder_model()
    last = model.get_results()[0].input_value(0)
    first = op.gather(last, np.int64(0), np.int64(1))
    pooled = op.tanh(linear(first, "pooler", 128, 128))
    model.add_results([op.result(pooled)])
    assert roles(model)["pooler"] == ("other", None)


def test_attention_alone() -> None:
    names = {"q_proj": "attn.q", "k_proj": "attn.k", "v_proj": "attn.v", "o_proj": "attn.out"}
    assert roles(attention_model(FMT)) == {name: (kind, 0) for name, kind in names.items()}


def test_swiglu_alone() -> None:
    names = {"gate_proj": "mlp.gate", "up_proj": "mlp.up", "down_proj": "mlp.down"}
    assert roles(swiglu_model(FMT)) == {name: (kind, None) for name, kind in names.items()}


def test_a_classifier_behind_a_tanh_is_no_feed_forward_part() -> None:
    x = activation(FMT, WIDTH)
    model = finish([linear(op.tanh(linear(x, "dense")), "out_proj", 3)], [x], ["y"])
    assert roles(model) == {"dense": ("other", None), "out_proj": ("other", None)}


def test_a_gelu_of_tanh_is_one() -> None:
    x = activation(FMT, WIDTH)
    up = linear(x, "up", 2 * WIDTH)
    bent = op.multiply(up, op.add(op.tanh(op.multiply(up, np.float32(0.8))), np.float32(1)))
    model = finish([linear(bent, "down", k=2 * WIDTH)], [x], ["y"])
    assert roles(model) == {"up": ("mlp.up", None), "down": ("mlp.down", None)}


def test_a_gate_of_attention() -> None:
    x = activation(FMT, WIDTH)
    query, key, value = (split_heads(linear(x, name)) for name in ("q", "k", "v"))
    gated = op.multiply(attend(query, key, value), op.sigmoid(linear(x, "gate")))
    found = roles(finish([linear(gated, "out")], [x], ["y"]))
    assert found == {name: (f"attn.{name}", 0) for name in ("q", "k", "v", "gate", "out")}


def test_a_convolution_is_a_layer_that_is_not_looked_through() -> None:
    """Queries, keys and values by convolutions, and a layer whose only way to a Result is one."""
    x = activation(FMT, WIDTH)
    turned = op.transpose(x, np.array([0, 2, 1]))

    def convolved(value: Value) -> ov.Node:
        weights = np.ones((WIDTH, WIDTH, 1), np.float32)
        return op.convolution(value, weights, [1], [0], [0], [1])

    query, key, value = (split_heads(op.transpose(convolved(turned), np.array([0, 2, 1]))) for _ in range(3))
    mixed = convolved(op.transpose(attend(query, key, value), np.array([0, 2, 1])))
    last = linear(op.transpose(mixed, np.array([0, 2, 1])), "last")
    wide = op.transpose(linear(last, "wide", 2 * WIDTH), np.array([0, 2, 1]))
    fused = op.convolution(wide, np.ones((4, 2 * WIDTH, 1), np.float32), [1], [0], [0], [1])
    assert roles(finish([fused], [x], ["y"])) == {"last": ("other", None), "wide": ("other", None)}


def test_fused_gate_up() -> None:
    x = activation(FMT, WIDTH)
    halves = op.split(linear(x, "gate_up", 4 * WIDTH), np.int64(2), 2)
    product = op.multiply(op.swish(halves.output(0)), halves.output(1))
    model = finish([linear(product, "down", k=2 * WIDTH)], [x], ["y"])
    assert roles(model) == {"gate_up": ("mlp.gate_up", None), "down": ("mlp.down", None)}


@pytest.mark.parametrize("bias", [False, True])
def test_fused_qkv(bias: bool) -> None:
    x = activation(FMT, WIDTH)
    fused = linear(norm(x), "qkv", 3 * WIDTH)
    if bias:
        fused = add_bias(fused, 3 * WIDTH, "f32", "qkv.bias")
    parts = op.split(fused, np.int64(2), 3)
    mixed = attend(*(split_heads(parts.output(i)) for i in range(3)))
    y = op.add(x, linear(mixed, "out"))
    model = finish([op.add(y, gelu_mlp(norm(y), "mlp"))], [x], ["y"])
    assert roles(model) == {
        "qkv": ("attn.qkv", 0),
        "out": ("attn.out", 0),
        "mlp.up": ("mlp.up", 0),
        "mlp.down": ("mlp.down", 0),
    }


@pytest.mark.parametrize("normalize", [norm, layer_norm])
@pytest.mark.parametrize("shared_norm", [True, False])
def test_feed_forward_beside_attention_belongs_to_its_block(
    shared_norm: bool, normalize: Callable[[Value], ov.Node]
) -> None:
    """y = x + attention(norm(x)) + mlp(norm(x)), as GPT-J, GPT-NeoX, Phi and Falcon have it."""
    x = activation(FMT, WIDTH)
    y: Value = x
    for block in range(2):
        first = normalize(y)
        second = first if shared_norm else normalize(y)
        both = op.add(attention(first, first, f"{block}.attn"), gelu_mlp(second, f"{block}.mlp"))
        y = op.add(y, both)
    found = roles(finish([linear(norm(y), "head", 4 * WIDTH)], [x], ["y"]))
    assert found.pop("head") == ("lm_head", None)
    assert {name: layer for name, (_, layer) in found.items()} == {name: int(name[0]) for name in found}
    assert {name[2:]: kind for name, (kind, _) in found.items()} == {
        "attn.q": "attn.q",
        "attn.k": "attn.k",
        "attn.v": "attn.v",
        "attn.out": "attn.out",
        "mlp.up": "mlp.up",
        "mlp.down": "mlp.down",
    }


def test_cross_attention_belongs_to_the_block_of_the_self_attention() -> None:
    x, memory = activation(FMT, WIDTH), op.parameter([-1, -1, WIDTH], ov.Type.f32, name="memory")
    y: Value = x
    for block in range(2):
        inner = norm(y)
        y = op.add(y, attention(inner, inner, f"{block}.self"))
        y = op.add(y, attention(norm(y), memory, f"{block}.cross"))
        y = op.add(y, gelu_mlp(norm(y), f"{block}.mlp"))
    found = roles(finish([y], [x, memory], ["y"]))
    assert {name: layer for name, (_, layer) in found.items()} == {name: int(name[0]) for name in found}
    kinds = {name.split(".", 1)[1]: kind for name, (kind, _) in found.items()}
    assert kinds == {
        **{f"{which}.{part}": f"attn.{part}" for which in ("self", "cross") for part in ("q", "k", "v", "out")},
        "mlp.up": "mlp.up",
        "mlp.down": "mlp.down",
    }


def test_experts_are_feed_forward_and_their_router_is_not() -> None:
    x = activation(FMT, WIDTH)
    inner = norm(x)
    y = op.add(x, attention(inner, inner, "attn"))
    inner = norm(y)
    weights = op.softmax(linear(inner, "router", 4), -1)
    for expert in range(4):
        share = op.gather(weights, np.array([expert]), np.int64(2))
        y = op.add(y, op.multiply(swiglu(inner, FMT, WIDTH, 2 * WIDTH, f"expert{expert}."), share))
    found = roles(finish([linear(norm(y), "head", 4 * WIDTH)], [x], ["y"]))
    for expert in range(4):
        for part, kind in (("gate", "mlp.gate"), ("up", "mlp.up"), ("down", "mlp.down")):
            assert found[f"expert{expert}.{part}_proj"] == (kind, 0)
    assert found["router"] == ("other", None)
    assert found["head"] == ("lm_head", None)


ALL_EXEMPT = (ovpass.Rule("re:.*", exempt=True),)
APPLIED = {
    "emulate": ovpass.Settings(lowering="emulate", group_size=32),
    "emulate-asymmetric": ovpass.Settings(lowering="emulate", group_size=32, threshold=64, symmetric=False),
    "int8": ovpass.Settings(lowering="int8", requantize=True),
    "int8-cpu": ovpass.Settings(lowering="int8", requantize=True, target="cpu"),
    "rank-4": ovpass.Settings(rules=ALL_EXEMPT, exempt_with="rank-4"),
    "f16-zero-point": ovpass.Settings(rules=ALL_EXEMPT, exempt_with="f16-zero-point", target="cpu"),
}


@pytest.mark.parametrize("settings", APPLIED.values(), ids=list(APPLIED))
@pytest.mark.parametrize("build", [llama_model, encoder_model])
def test_what_ovpass_inserts_changes_no_role(build: Callable[[], ov.Model], settings: ovpass.Settings) -> None:
    model = build()
    before = roles(model)
    assert roles(ovpass.apply(model, ovpass.make_plan(model, settings))) == before


def test_a_layer_alone_is_other() -> None:
    assert roles(linear_model(FMT, n=1024)) == {"linear": ("other", None)}


def test_kinds_are_all_that_exist() -> None:
    models = [llama_model(), encoder_model(), swiglu_model(FMT)]
    assert {kind for model in models for kind, _ in roles(model).values()} <= set(KINDS)
