"""A small BERT-like encoder, as optimum-intel exports one for feature extraction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as op

from .chains import constant, weights
from .layers import Format, Value, add_bias, finish, project
from .names import number_nodes


def encoder_model(
    blocks: int = 2,
    hidden: int = 128,
    heads: int = 4,
    ffn: int = 256,
    vocab: int = 320,
    *,
    positions: int = 64,
    fmt: Format = "w_i8_sym_ch",
    embedding_fmt: Format = "w_u8_asym_ch",
    seed: int = 0,
) -> ov.Model:
    """input_ids, attention_mask, token_type_ids [b, t] i64 -> last_hidden_state [b, t, hidden].

    At most `positions` tokens. Norms come after the residual Add, every MatMul has a bias, attention is
    decomposed into MatMul, Add, Softmax, MatMul.
    """
    encoder = _Encoder(hidden, heads, ffn, fmt, seed)
    inputs = [_input(name) for name in ("input_ids", "attention_mask", "token_type_ids")]
    ids, mask, kinds = inputs
    table = weights(embedding_fmt, vocab, hidden, seed, "self.embeddings.word_embeddings.weight")
    x: Value = encoder.embeddings(table, ids, kinds, positions)
    bias = _mask_bias(mask)
    for block in range(blocks):
        x = encoder.block(x, bias, f"encoder.layer.{block}")
    return number_nodes(finish([x], inputs, ["last_hidden_state"]))


@dataclass(frozen=True)
class _Encoder:
    hidden: int
    heads: int
    ffn: int
    fmt: Format
    seed: int

    def embeddings(self, table: ov.Output, ids: Value, kinds: Value, positions: int) -> ov.Output:
        words = op.gather(table, op.convert(ids, "i32"), np.int32(0))
        types = op.gather(self._table(2, "token_type"), op.convert(kinds, "i32"), np.int32(0))
        tokens = op.squeeze(op.gather(op.shape_of(ids), np.array([1]), np.int64(0)), np.int64(0))
        places = op.range(np.int64(0), tokens, np.int64(1), "i64")
        where = op.gather(self._table(positions, "position"), places, np.int32(0))
        return self._norm(op.add(op.add(words, types), where), "embeddings.LayerNorm")

    def block(self, x: Value, bias: Value, name: str) -> ov.Output:
        attended = self._attention(x, bias, f"{name}.attention.self")
        mixed = self._linear(attended, self.hidden, self.hidden, f"{name}.attention.output.dense")
        x = self._norm(op.add(mixed, x), f"{name}.attention.output.LayerNorm")
        wide = op.gelu(self._linear(x, self.ffn, self.hidden, f"{name}.intermediate.dense"), "erf")
        narrow = self._linear(wide, self.hidden, self.ffn, f"{name}.output.dense")
        return self._norm(op.add(narrow, x), f"{name}.output.LayerNorm")

    def _attention(self, x: Value, bias: Value, name: str) -> ov.Node:
        query, key, value = (self._split(x, f"{name}.{part}") for part in ("query", "key", "value"))
        scores = op.multiply(op.matmul(query, key, False, True), np.float32(self._head_size**-0.5))
        mixed = op.matmul(op.softmax(op.add(scores, bias), -1), value, False, False)
        together = op.transpose(mixed, np.array([0, 2, 1, 3]))
        return op.reshape(together, np.array([0, 0, self.hidden]), special_zero=True)

    def _split(self, x: Value, name: str) -> ov.Node:
        """Projection and split: [b, t, hidden] -> [b, heads, t, head_size]."""
        projected = self._linear(x, self.hidden, self.hidden, name)
        split = op.reshape(projected, np.array([0, 0, self.heads, self._head_size]), special_zero=True)
        return op.transpose(split, np.array([0, 2, 1, 3]))

    def _linear(self, x: Value, n: int, k: int, name: str) -> ov.Output:
        seed = self.seed + sum(map(ord, name))
        weight = weights(self.fmt, n, k, seed, f"self.{name}.weight")
        y = project(x, weight, self.fmt, f"__module.{name}/aten::linear/MatMul")
        return add_bias(y, n, "f32", f"self.{name}.bias", seed)

    def _norm(self, x: Value, name: str) -> ov.Output:
        normed = op.mvn(x, np.array([-1]), True, 1e-12, "inside_sqrt")
        scale = np.random.default_rng(self.seed).uniform(0.5, 1.5, (1, 1, self.hidden))
        scaled = op.multiply(normed, constant(scale.astype(np.float32), "f32", f"self.{name}.weight"))
        return add_bias(scaled.output(0), self.hidden, "f32", f"self.{name}.bias", self.seed)

    def _table(self, rows: int, what: str) -> ov.Output:
        values = np.random.default_rng((self.seed, rows)).normal(0.0, self.hidden**-0.5, (rows, self.hidden))
        return constant(values.astype(np.float32), "f32", f"self.embeddings.{what}_embeddings.weight")

    @property
    def _head_size(self) -> int:
        return self.hidden // self.heads


def _input(name: str) -> ov.op.Parameter:
    node = op.parameter([-1, -1], ov.Type.i64, name=name)
    node.output(0).set_names({name})
    return node


def _mask_bias(mask: Value) -> ov.Node:
    """0 for tokens, a large negative number for padding: [b, 1, 1, t]."""
    padding = op.subtract(np.float32(1), op.convert(op.unsqueeze(mask, np.array([1, 2])), "f32"))
    return op.multiply(padding, np.float32(-65504))
