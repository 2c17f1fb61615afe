"""Models with random weights for scripts/bench_int8.py: chains of linear layers, and decoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset13 as op

Shapes = Sequence[tuple[int, int]]
THIN = 16


def chain(shapes: Shapes, bits: int = 8) -> ov.Model:
    """Linear layers of shapes (K, N) in a row, x [1, tokens, K] f32 -> y f32."""
    x = value = _input(shapes[0][0])
    for index, (k, n) in enumerate(shapes):
        value = linear(value, k, n, f"linear_{index}", bits)
    return ov.Model([op.result(value)], [x], "chain")


def framed(k: int, n: int, bits: int = 8) -> ov.Model:
    """One linear layer between two thin ones that are not compressed: as it runs in the middle of a model."""
    x = _input(THIN)
    value = linear(_plain(x, THIN, k), k, n, "linear_0", bits)
    return ov.Model([op.result(_plain(value, n, THIN))], [x], "framed")


def frame(k: int, n: int) -> ov.Model:
    """The two thin layers alone, which is what `framed` costs besides its layer."""
    x = _input(THIN)
    narrow = _plain(_plain(x, THIN, k), k, THIN)
    return ov.Model([op.result(_plain(_plain(narrow, THIN, n), n, THIN))], [x], "frame")


def decoder(
    hidden: int, ffn: int, heads: int, blocks: int = 2, vocabulary: int = 8192, *, merged: bool = False
) -> ov.Model:
    """Pre-norm blocks of causal attention and a SwiGLU MLP, a norm and an lm_head; no positions, no cache.

    With `merged` Q, K and V are one MatMul.
    """
    x = value = _input(hidden)
    project = _merged_projections if merged else _projections
    for block in range(blocks):
        prefix = f"layers.{block}."
        projected = project(_norm(value), hidden, prefix)
        value = op.add(value, _attention(projected, hidden, heads, prefix))
        value = op.add(value, _mlp(_norm(value), hidden, ffn, f"layers.{block}."))
    logits = linear(_norm(value), hidden, vocabulary, "lm_head")
    return ov.Model([op.result(logits)], [x], "decoder")


def trio(k: int) -> ov.Model:
    """Three K x K layers on one activation that is computed, as Q, K and V."""
    x = _input(THIN)
    hidden = op.tanh(_plain(x, THIN, k))
    outputs = [linear(hidden, k, k, f"linear_{index}") for index in range(3)]
    return ov.Model([op.result(_plain(output, k, THIN)) for output in outputs], [x], "trio")


def merged_trio(k: int) -> ov.Model:
    """The same as one MatMul and a Split."""
    x = _input(THIN)
    outputs = _thirds(linear(op.tanh(_plain(x, THIN, k)), k, 3 * k, "linear_0"))
    return ov.Model([op.result(_plain(output, k, THIN)) for output in outputs], [x], "merged_trio")


def linear(x: ov.Node, k: int, n: int, name: str, bits: int = 8) -> ov.Node:
    """A MatMul with weights of 8 bits per channel, or of 4 in groups of 64, symmetric."""
    matmul = op.matmul(x, _eight_bits(k, n) if bits == 8 else _four_bits(k, n), False, True)
    matmul.set_friendly_name(name)
    return matmul


def _eight_bits(k: int, n: int) -> ov.Node:
    codes = _random().integers(-127, 128, (n, k), dtype=np.int8)
    return op.multiply(op.convert(op.constant(codes), ov.Type.f32), _scale((n, 1), k, 73))


def _four_bits(k: int, n: int, group: int = 64) -> ov.Node:
    tensor = ov.Tensor(ov.Type.i4, ov.Shape([n, k // group, group]))
    tensor.data[:] = _random().integers(0, 256, tensor.data.shape, dtype=np.uint8).view(tensor.data.dtype)
    weights = op.multiply(op.convert(op.constant(tensor), ov.Type.f32), _scale((n, k // group, 1), k, 4.6))
    return op.reshape(weights, np.array([n, k]), special_zero=False)


def _scale(shape: tuple[int, ...], k: int, deviation: float) -> ov.Node:
    """Scales for which outputs are about as large as inputs; `deviation` is that of the codes."""
    return op.constant((_random().uniform(0.5, 1.5, shape) / (deviation * np.sqrt(k))).astype(np.float32))


def _plain(x: ov.Node, k: int, n: int) -> ov.Node:
    weights = _random().standard_normal((n, k), dtype=np.float32) / np.sqrt(k, dtype=np.float32)
    return op.matmul(x, op.constant(weights), False, True)


def _norm(x: ov.Node) -> ov.Node:
    squares = op.reduce_mean(op.multiply(x, x), np.array([-1]), keep_dims=True)
    return op.divide(x, op.sqrt(op.add(squares, op.constant(np.float32(1e-5)))))


def _projections(x: ov.Node, hidden: int, prefix: str) -> list[ov.Output]:
    return [linear(x, hidden, hidden, f"{prefix}{name}_proj").output(0) for name in "qkv"]


def _merged_projections(x: ov.Node, hidden: int, prefix: str) -> list[ov.Output]:
    return _thirds(linear(x, hidden, 3 * hidden, f"{prefix}qkv_proj"))


def _thirds(whole: ov.Node) -> list[ov.Output]:
    return list(op.split(whole, op.constant(np.int64(-1)), 3).outputs())


def _attention(projected: Sequence[ov.Output], hidden: int, heads: int, prefix: str) -> ov.Node:
    swap = np.array([0, 2, 1, 3])
    split = np.array([0, 0, heads, hidden // heads])
    query, key, value = (op.transpose(op.reshape(each, split, special_zero=True), swap) for each in projected)
    mixed = op.transpose(op.scaled_dot_product_attention(query, key, value, causal=True), swap)
    merged = op.reshape(mixed, np.array([0, 0, hidden]), special_zero=True)
    return linear(merged, hidden, hidden, f"{prefix}o_proj")


def _mlp(x: ov.Node, hidden: int, ffn: int, prefix: str) -> ov.Node:
    gate = op.swish(linear(x, hidden, ffn, f"{prefix}gate_proj"))
    up = linear(x, hidden, ffn, f"{prefix}up_proj")
    return linear(op.multiply(gate, up), ffn, hidden, f"{prefix}down_proj")


def _input(k: int) -> ov.Node:
    x = op.parameter([1, -1, k], ov.Type.f32, name="x")
    x.output(0).set_names({"x"})
    return x


def _random() -> np.random.Generator:
    return np.random.default_rng(0)
