"""IRs with many small layers, for benchmarks of what ovpass costs by the number of sites: they are never run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

HIDDEN, FEED_FORWARD, HEADS, VOCABULARY, GROUP = 64, 128, 2, 96, 32
MOE_LAYERS, EXPERTS, CHOSEN = 48, 128, 8
_HEAD_SIZE = HIDDEN // HEADS

_Linear = Callable[[ov.Node, int, int, str], ov.Node]


def make_llama(path: Path | str, blocks: int) -> int:
    """A decoder with 7 sites a block and the head, which is how many it returns."""
    ids, x, linear = _start()
    for block in range(blocks):
        name = f"layers.{block}"
        x = _attention(x, linear, name)
        x = op.add(x, _feed_forward(_norm(x), linear, name))
    _save(linear(_norm(x), VOCABULARY, HIDDEN, "lm_head"), ids, path)
    return 7 * blocks + 1


def make_wide(path: Path | str, sites: int) -> int:
    """Sites beside each other, each with an activation of its own."""
    ids, x, linear = _start()
    outputs = [linear(op.multiply(x, np.float32(i + 1)), HIDDEN, HIDDEN, f"side.{i}") for i in range(sites)]
    _save(op.concat(outputs, -1), ids, path)
    return sites


def make_moe(path: Path | str, layers: int = MOE_LAYERS, experts: int = EXPERTS) -> int:
    """Experts exported one by one, as a loop over them is traced: each gathers its tokens and adds to the result.

    Attention has 4 sites a layer, the router 1, each expert 3.
    """
    ids, x, linear = _start()
    for layer in range(layers):
        name = f"layers.{layer}"
        x = _attention(x, linear, name)
        x = op.add(x, _experts(_norm(x), linear, f"{name}.mlp", experts))
    _save(linear(_norm(x), VOCABULARY, HIDDEN, "lm_head"), ids, path)
    return layers * (3 * experts + 5) + 1


def _start() -> tuple[ov.Node, ov.Node, _Linear]:
    """The input, its embedding, and what makes linear layers with int4 weights."""
    rng = np.random.default_rng(0)
    ids = op.parameter([-1, -1], np.int64, name="input_ids")
    table = op.constant(rng.random((VOCABULARY, HIDDEN), dtype=np.float32))
    return ids, op.gather(table, ids, np.int64(0)), partial(_linear, rng)


def _save(output: ov.Node, ids: ov.Node, path: Path | str) -> None:
    ov.save_model(ov.Model([output], [ids]), path, compress_to_fp16=False)


def _linear(rng: np.random.Generator, x: ov.Node, n: int, k: int, name: str) -> ov.Node:
    codes = ov.Tensor(ov.Type.i4, ov.Shape([n, k // GROUP, GROUP]))
    codes.data[:] = rng.integers(0, 256, size=codes.data.shape, dtype=np.uint8).view(codes.data.dtype)
    stored = op.constant(codes)
    stored.set_friendly_name(f"{name}.weight")
    scale = op.constant(rng.random((n, k // GROUP, 1), dtype=np.float32).astype(np.float16))
    scaled = op.multiply(op.convert(stored, "f16"), scale)
    weights = op.convert(op.reshape(scaled, np.array([n, k]), False), "f32")
    matmul = op.matmul(x, weights, False, True)
    matmul.set_friendly_name(f"{name}/MatMul")
    return matmul


def _attention(x: ov.Node, linear: _Linear, name: str) -> ov.Node:
    normed = _norm(x)
    q, k, v = (_heads(linear(normed, HIDDEN, HIDDEN, f"{name}.{p}_proj")) for p in "qkv")
    mixed = op.transpose(op.scaled_dot_product_attention(q, k, v), np.array([0, 2, 1, 3]))
    merged = op.reshape(mixed, np.array([0, 0, HIDDEN]), True)
    return op.add(x, linear(merged, HIDDEN, HIDDEN, f"{name}.o_proj"))


def _heads(x: ov.Node) -> ov.Node:
    return op.transpose(op.reshape(x, np.array([0, 0, HEADS, _HEAD_SIZE]), True), np.array([0, 2, 1, 3]))


def _feed_forward(x: ov.Node, linear: _Linear, name: str) -> ov.Node:
    gate, up = (linear(x, FEED_FORWARD, HIDDEN, f"{name}.{p}_proj") for p in ("gate", "up"))
    return linear(op.multiply(op.swish(gate), up), HIDDEN, FEED_FORWARD, f"{name}.down_proj")


def _norm(x: ov.Node) -> ov.Node:
    mean = op.reduce_mean(op.power(x, np.float32(2)), np.array([-1]), True)
    return op.multiply(x, op.divide(np.float32(1), op.sqrt(op.add(mean, np.float32(1e-5)))))


def _experts(x: ov.Node, linear: _Linear, name: str, experts: int) -> ov.Node:
    tokens = op.reshape(x, np.array([-1, HIDDEN]), False)
    router = op.softmax(linear(tokens, experts, HIDDEN, f"{name}.gate"), -1)
    best = op.topk(router, np.int64(min(CHOSEN, experts)), -1, "max", "none")
    total = op.multiply(tokens, np.float32(0))
    for expert in range(experts):
        total = _expert(total, tokens, best, expert, linear, f"{name}.experts.{expert}")
    return op.reshape(total, op.shape_of(x), False)


def _expert(total: ov.Node, tokens: ov.Node, best: ov.Node, expert: int, linear: _Linear, name: str) -> ov.Node:
    """The tokens whose best experts this one is among go through it, are weighed, and added where they came from."""
    chosen = op.non_zero(op.equal(best.output(1), np.int32(expert)))
    row, place = op.split(chosen, np.int64(0), 2).outputs()
    rows = op.squeeze(row, np.int64(0))
    answer = _feed_forward(op.gather(tokens, rows, np.int64(0)), linear, name)
    weight = op.gather_nd(best.output(0), op.transpose(op.concat([row, place], 0), np.array([1, 0])))
    weighed = op.multiply(answer, op.unsqueeze(weight, np.int64(1)))
    added = op.add(op.gather(total, rows, np.int64(0)), weighed)
    return op.scatter_nd_update(total, op.unsqueeze(rows, np.int64(1)), added)
