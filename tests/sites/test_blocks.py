"""Which block a layer belongs to where blocks are not all attention and a feed-forward part."""

from __future__ import annotations

import numpy as np
from openvino import opset13 as op

from tests.builders import activation, finish
from tests.builders.layers import Value
from tests.sites.test_kinds import FMT, WIDTH, attend, attention, gelu_mlp, linear, norm, roles, split_heads


def gated_mixer(x: Value, name: str) -> Value:
    """Two layers with a gate between them, and no attention."""
    halves = op.split(linear(x, f"{name}.in", 2 * WIDTH), np.int64(2), 2)
    return linear(op.multiply(op.cum_sum(halves.output(0), np.int64(1)), halves.output(1)), f"{name}.out")


def test_blocks_without_attention_count() -> None:
    """Mixer, attention, mixer: each with a feed-forward part behind it."""
    x = activation(FMT, WIDTH)
    y: Value = x
    for block in range(3):
        inner = norm(y)
        mixed = attention(inner, inner, f"{block}.attn") if block == 1 else gated_mixer(inner, f"{block}.mixer")
        y = op.add(y, mixed)
        y = op.add(y, gelu_mlp(norm(y), f"{block}.mlp"))
    found = roles(finish([linear(norm(y), "head", 4 * WIDTH)], [x], ["y"]))
    assert found.pop("head") == ("lm_head", None)
    assert {name: layer for name, (_, layer) in found.items()} == {name: int(name[0]) for name in found}
    assert {kind for name, (kind, _) in found.items() if "mixer" in name} == {"other"}


def test_queries_of_a_bottleneck_attend_the_stream() -> None:
    """As in MobileBERT: Q and K read a narrow copy of what V reads."""
    x = activation(FMT, WIDTH)
    y: Value = x
    for block in range(3):
        narrow = norm(linear(y, f"{block}.bottleneck"))
        query, key = (split_heads(linear(narrow, f"{block}.{part}")) for part in "qk")
        mixed = attend(query, key, split_heads(linear(y, f"{block}.v")))
        y = norm(op.add(y, linear(mixed, f"{block}.out")))
        y = norm(op.add(y, gelu_mlp(y, f"{block}.mlp")))
    found = roles(finish([y], [x], ["y"]))
    blocks = {name: layer for name, (_, layer) in found.items() if "bottleneck" not in name}
    assert blocks == {name: int(name[0]) for name in blocks}


def test_blocks_of_nothing_but_a_mixer() -> None:
    x = activation(FMT, WIDTH)
    y: Value = x
    for block in range(3):
        y = op.add(y, gated_mixer(norm(y), f"{block}"))
    found = roles(finish([y], [x], ["y"]))
    assert found == {f"{block}.{part}": ("other", block) for block in range(3) for part in ("in", "out")}


def test_feed_forward_parts_off_the_stream_are_in_no_block() -> None:
    """A projector behind the last block, and an embedding of the time added to the first."""
    x = activation(FMT, WIDTH)
    time = op.parameter([-1, 1, WIDTH], np.float32, name="time")
    y: Value = op.add(x, gelu_mlp(time, "time"))
    inner = norm(y)
    y = op.add(y, attention(inner, inner, "attn"))
    y = op.add(y, gelu_mlp(norm(y), "mlp"))
    found = roles(finish([gelu_mlp(norm(y), "projector")], [x, time], ["y"]))
    assert {name for name, (_, layer) in found.items() if layer is None} == {
        f"{part}.{layer}" for part in ("time", "projector") for layer in ("up", "down")
    }
    assert found["mlp.down"] == ("mlp.down", 0)


def test_halves_by_lengths_computed_from_the_shape() -> None:
    """As PyTorch's chunk is exported."""
    x = activation(FMT, WIDTH)
    fused = linear(x, "gate_up", 4 * WIDTH)
    half = op.divide(op.gather(op.shape_of(fused), np.array([2]), np.int64(0)), np.array([2]))
    halves = op.variadic_split(fused, np.int64(2), op.concat([half, half], 0))
    product = op.multiply(op.swish(halves.output(0)), halves.output(1))
    model = finish([linear(product, "down", k=2 * WIDTH)], [x], ["y"])
    assert roles(model) == {"gate_up": ("mlp.gate_up", None), "down": ("mlp.down", None)}


def test_joint_attention_has_an_output_for_each_stream() -> None:
    x, other = activation(FMT, WIDTH), op.parameter([-1, 7, WIDTH], np.float32, name="other")
    both = [
        op.concat([split_heads(linear(source, f"{name}.{part}")) for source, name in ((other, "o"), (x, "x"))], 2)
        for part in "qkv"
    ]
    mixed = attend(*both)
    first = op.slice(mixed, np.array([0]), np.array([7]), np.array([1]), np.array([1]))
    rest = op.slice(mixed, np.array([7]), np.array([2**31]), np.array([1]), np.array([1]))
    outputs = [op.add(other, linear(first, "o.out")), op.add(x, linear(rest, "x.out"))]
    found = roles(finish(outputs, [x, other], ["y", "z"]))
    assert found == {f"{name}.{part}": (f"attn.{part}", 0) for name in "ox" for part in ("q", "k", "v", "out")}


def test_a_product_of_constants_is_no_layer_of_a_block() -> None:
    """A rotary table that nothing has folded."""
    x = activation(FMT, WIDTH)
    table = op.matmul(np.ones((1, 7, 1), np.float32), np.ones((1, 1, WIDTH), np.float32), False, False)
    inner = op.multiply(norm(x), table)
    model = finish([op.add(x, attention(inner, inner, "attn"))], [x], ["y"])
    assert roles(model) == {f"attn.{part}": (f"attn.{part}", 0) for part in ("q", "k", "v", "out")}
