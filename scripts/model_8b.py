"""An IR with the shapes of an 8B LLM and random int4 weights, for benchmarks: what it predicts means nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

BLOCKS, HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY, GROUP = 36, 4096, 12288, 32, 8, 32000, 128
_HEAD_SIZE = HIDDEN // HEADS


def make(path: Path | str, blocks: int = BLOCKS) -> None:
    """Write the model to `path`, with 36 blocks about 3.6 GB of weights beside it."""
    rng = np.random.default_rng(0)

    def linear(x: ov.Node, n: int, k: int, name: str) -> ov.Node:
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

    ids = op.parameter([-1, -1], np.int64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    table = op.constant(rng.integers(-127, 128, (VOCABULARY, HIDDEN), dtype=np.int8))
    embeddings = op.convert(op.multiply(op.convert(table, "f16"), np.full((VOCABULARY, 1), 0.01, np.float16)), "f32")
    x = op.gather(embeddings, ids, np.int64(0))
    for block in range(blocks):
        x = _block(x, linear, f"layers.{block}")
    logits = op.result(linear(_norm(x), VOCABULARY, HIDDEN, "lm_head"))
    logits.output(0).set_names({"logits"})
    positions = op.parameter([-1, -1], np.int64, name="position_ids")  # by which a language model is known
    positions.output(0).set_names({"position_ids"})
    ov.save_model(ov.Model([logits], [ids, positions]), path, compress_to_fp16=False)


def _block(x: ov.Node, linear: Callable[[ov.Node, int, int, str], ov.Node], name: str) -> ov.Node:
    normed = _norm(x)
    q = _heads(linear(normed, HIDDEN, HIDDEN, f"{name}.q_proj"), HEADS)
    k, v = (_heads(linear(normed, KV_HEADS * _HEAD_SIZE, HIDDEN, f"{name}.{p}_proj"), KV_HEADS) for p in "kv")
    attention = op.scaled_dot_product_attention(q, _repeat(k), _repeat(v), causal=True)
    merged = op.reshape(op.transpose(attention, np.array([0, 2, 1, 3])), np.array([0, 0, HIDDEN]), True)
    x = op.add(x, linear(merged, HIDDEN, HIDDEN, f"{name}.o_proj"))
    normed = _norm(x)
    gate, up = (linear(normed, FEED_FORWARD, HIDDEN, f"{name}.{p}_proj") for p in ("gate", "up"))
    return op.add(x, linear(op.multiply(op.swish(gate), up), HIDDEN, FEED_FORWARD, f"{name}.down_proj"))


def _norm(x: ov.Node) -> ov.Node:
    mean = op.reduce_mean(op.power(x, np.float32(2)), np.array([-1]), True)
    return op.divide(x, op.sqrt(op.add(mean, np.float32(1e-5))))


def _heads(x: ov.Node, heads: int) -> ov.Node:
    return op.transpose(op.reshape(x, np.array([0, 0, heads, _HEAD_SIZE]), True), np.array([0, 2, 1, 3]))


def _repeat(x: ov.Node) -> ov.Node:
    target = np.array([1, 1, HEADS // KV_HEADS, 1, 1])
    repeated = op.broadcast(op.unsqueeze(x, np.array(2)), target, broadcast_spec="BIDIRECTIONAL")
    return op.reshape(repeated, np.array([0, HEADS, -1, _HEAD_SIZE]), True)
