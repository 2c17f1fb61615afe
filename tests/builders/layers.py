"""Models of one or a few MatMuls with compressed weights: input "x", output "y"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import openvino as ov
from openvino import opset13 as op

from .chains import constant, weights
from .formats import WeightFormat, weight_format

Format: TypeAlias = WeightFormat | str
Value: TypeAlias = ov.Output | ov.Node


def activation(
    fmt: Format, k: int, rank: int = 3, static_tokens: int | None = None, transposed: bool = False
) -> ov.op.Parameter:
    """Input "x" [..., tokens, K] ([..., K, tokens] transposed) in the element type of the format.

    Leading dimensions are dynamic, or ones with `static_tokens`; a K of -1 is dynamic too.
    """
    leading = -1 if static_tokens is None else 1
    tokens = -1 if static_tokens is None else static_tokens
    tail = [k, tokens] if transposed else [tokens, k]
    shape = ov.PartialShape(([leading] * (rank - 2) + tail)[-rank:])
    x = op.parameter(shape, getattr(ov.Type, weight_format(fmt).output), name="x")
    x.output(0).set_names({"x"})
    return x


def matmul(x: Value, fmt: Format, n: int, k: int, name: str, seed: int = 0) -> ov.Output:
    """MatMul of `x` [..., K] with random compressed weights, named `name`; its weights `name.weight`."""
    return project(x, weights(fmt, n, k, seed, f"{name}.weight"), fmt, name)


def project(x: Value, weight: ov.Output, fmt: Format, name: str, transpose_a: bool = False) -> ov.Output:
    """MatMul of `x` with a chain that `weights` made."""
    node = op.matmul(x, weight, transpose_a, weight_format(fmt).transpose_b)
    node.set_friendly_name(name)
    return node.output(0)


def finish(
    outputs: Sequence[Value],
    inputs: Sequence[ov.op.Parameter],
    names: Sequence[str],
    sinks: Sequence[ov.Node] = (),
) -> ov.Model:
    """A model whose results carry the tensor names given."""
    results = []
    for value, name in zip(outputs, names, strict=True):
        output = value if isinstance(value, ov.Output) else value.output(0)
        output.set_names(output.get_names() | {name})
        results.append(op.result(output, name=f"{name}/result"))
    return ov.Model(results, list(sinks), list(inputs), "model")


def linear_model(
    fmt: Format = "w_i8_sym_ch",
    k: int = 512,
    n: int = 64,
    *,
    rank: int = 3,
    static_tokens: int | None = None,
    dynamic_k: bool = False,
    bias: bool = False,
    weights_on_input0: bool = False,
    transpose_a: bool = False,
    seed: int = 0,
) -> ov.Model:
    """One MatMul "linear": x [..., tokens, K] -> y [..., tokens, N].

    With `weights_on_input0` y is [..., N, tokens]; with `transpose_a` x is [..., K, tokens].
    With `dynamic_k` only the weights tell K, as at the attention output of some exports.
    """
    fmt = weight_format(fmt)
    x = activation(fmt, -1 if dynamic_k else k, rank, static_tokens, transposed=transpose_a)
    weight = weights(fmt, n, k, seed, "linear.weight")
    if weights_on_input0:
        node = op.matmul(weight, x, not fmt.transpose_b, not transpose_a)
        node.set_friendly_name("linear")
        y = node.output(0)
    else:
        y = project(x, weight, fmt, "linear", transpose_a)
    if bias:
        y = add_bias(y, n, fmt.output, "linear.bias", seed)
    return finish([y], [x], ["y"])


def add_bias(y: ov.Output, n: int, kind: str, name: str, seed: int = 0) -> ov.Output:
    """Add of a random bias [N], broadcast over the leading dimensions of `y`."""
    values = np.random.default_rng((seed, n)).normal(0.0, 0.1, n)
    return op.add(y, constant(values.astype(np.float32), kind, name)).output(0)


def shared_model(formats: Sequence[Format], widths: Sequence[int], k: int = 512, seed: int = 0) -> ov.Model:
    """MatMuls "linear_0", "linear_1", ... on one activation, each with a result "y0", "y1", ...

    A Relu comes after each: plugins treat a MatMul that a Result reads in their own ways.
    """
    x = activation(formats[0], k)
    outputs = [
        op.relu(matmul(x, fmt, n, k, f"linear_{i}", seed + i))
        for i, (fmt, n) in enumerate(zip(formats, widths, strict=True))
    ]
    return finish(outputs, [x], [f"y{i}" for i in range(len(outputs))])


def pair_model(fmt: Format = "w_i8_sym_ch", k: int = 512, n: int = 64, seed: int = 0) -> ov.Model:
    """Two MatMuls of one format on one activation, as gate and up are."""
    return shared_model([fmt] * 2, [n] * 2, k, seed)


def trio_model(
    fmt: Format | Sequence[Format] = "w_i8_sym_ch",
    k: int = 512,
    n: int = 64,
    kv_n: int | None = None,
    seed: int = 0,
) -> ov.Model:
    """Three MatMuls on one activation, as Q, K and V are.

    Three formats make a mixed trio; `kv_n` makes the last two narrower.
    """
    formats = [fmt] * 3 if isinstance(fmt, str | WeightFormat) else list(fmt)
    return shared_model(formats, [n, kv_n or n, kv_n or n], k, seed)


def swiglu(x: Value, fmt: Format, k: int, ffn: int, prefix: str, seed: int = 0) -> ov.Output:
    """down(swish(gate(x)) * up(x)): [..., K] -> [..., K]; MatMuls gate_proj, up_proj, down_proj."""
    gate = op.swish(matmul(x, fmt, ffn, k, f"{prefix}gate_proj", seed))
    up = matmul(x, fmt, ffn, k, f"{prefix}up_proj", seed + 1)
    return matmul(op.multiply(gate, up), fmt, k, ffn, f"{prefix}down_proj", seed + 2)


def swiglu_model(fmt: Format = "w_i8_sym_ch", k: int = 256, ffn: int = 512, seed: int = 0) -> ov.Model:
    """A SwiGLU MLP: x [batch, tokens, K] -> y of the same shape."""
    x = activation(fmt, k)
    return finish([swiglu(x, fmt, k, ffn, "", seed)], [x], ["y"])


def attention_model(fmt: Format = "w_i8_sym_ch", k: int = 256, heads: int = 4, seed: int = 0) -> ov.Model:
    """Causal self-attention, x [b, t, K] -> y [b, t, K]; MatMuls q_proj, k_proj, v_proj, o_proj."""
    x = activation(fmt, k)
    swap = np.array([0, 2, 1, 3])
    query, key, value = (
        op.transpose(op.reshape(matmul(x, fmt, k, k, name, seed + i), np.array([0, 0, heads, k // heads]), True), swap)
        for i, name in enumerate(("q_proj", "k_proj", "v_proj"))
    )
    mixed = op.transpose(op.scaled_dot_product_attention(query, key, value, causal=True), swap)
    merged = op.reshape(mixed, np.array([0, 0, k]), special_zero=True)
    return finish([matmul(merged, fmt, k, k, "o_proj", seed + 3)], [x], ["y"])


def tied_model(vocab: int = 512, hidden: int = 128, seed: int = 0) -> ov.Model:
    """Embedding and lm_head on one u8 Constant: x [batch, tokens] i64 -> y [batch, tokens, vocab]."""
    ids = op.parameter([-1, -1], ov.Type.i64, name="x")
    ids.output(0).set_names({"x"})
    table = weights("w_u8_asym_ch", vocab, hidden, seed, "embed_tokens.weight")
    hidden_state = op.gather(table, op.convert(ids, "i32"), op.constant(np.int32(0)))
    hidden_state.set_friendly_name("embed_tokens")
    # something between them, as in a real model
    normed = op.mvn(hidden_state, op.constant(np.array([-1])), True, 1e-5, "inside_sqrt")
    return finish([project(normed, table, "w_u8_asym_ch", "lm_head")], [ids], ["y"])


def lora_model(fmt: Format = "w_i8_sym_ch", k: int = 512, n: int = 64, lora_rank: int = 8, seed: int = 0) -> ov.Model:
    """A compressed MatMul "linear" plus a float LoRA branch "lora_a", "lora_b" on the same activation."""
    x = activation(fmt, k)
    down = matmul(x, "w_f16_plain", lora_rank, k, "lora_a", seed + 1)
    up = matmul(down, "w_f16_plain", n, lora_rank, "lora_b", seed + 2)
    return finish([op.add(matmul(x, fmt, n, k, "linear", seed), up)], [x], ["y"])
