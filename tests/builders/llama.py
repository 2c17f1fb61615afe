"""A small llama-like decoder, as optimum-intel exports one and OpenVINO GenAI runs it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import openvino as ov
from openvino import opset13 as op

from .chains import constant, weights
from .layers import Format, Value, finish, project
from .names import number_nodes

MASKED = np.float32(-65504.0)
INPUTS = {"input_ids": ov.Type.i64, "attention_mask": ov.Type.i64, "position_ids": ov.Type.i64}


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes and forms of the decoder; K of every MatMul is `hidden`, except `ffn` of down_proj."""

    blocks: int = 2
    hidden: int = 128
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 256
    vocab: int = 320
    fmt: Format = "w_i4_sym_g32"
    lm_head_fmt: Format = "w_u8_asym_ch"
    bare_names: bool = False
    stateful: bool = True
    seed: int = 0

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.hidden // self.heads


def llama_model(
    blocks: int = 2,
    hidden: int = 128,
    heads: int = 4,
    kv_heads: int = 2,
    ffn: int = 256,
    vocab: int = 320,
    *,
    fmt: Format = "w_i4_sym_g32",
    lm_head_fmt: Format = "w_u8_asym_ch",
    bare_names: bool = False,
    stateful: bool = True,
    seed: int = 0,
) -> ov.Model:
    """A decoder: input_ids, attention_mask, position_ids [b, t], beam_idx [b] -> logits [b, t, vocab].

    The lm_head is tied to the embedding. Without `stateful` the cache is inputs past_key_values.0.key ... and
    outputs present.0.key ..., and there is no beam_idx. `bare_names` gives what GenAI's GGUF reader gives:
    nodes called MatMul_46, and o_proj reading an activation whose last dimension is dynamic.
    """
    config = LlamaConfig(blocks, hidden, heads, kv_heads, ffn, vocab, fmt, lm_head_fmt, bare_names, stateful, seed)
    return _Decoder(config).build()


@dataclass
class _Decoder:
    config: LlamaConfig
    inputs: list[ov.op.Parameter] = field(default_factory=list)
    outputs: dict[str, ov.Output] = field(default_factory=dict)
    sinks: list[ov.Node] = field(default_factory=list)

    def build(self) -> ov.Model:
        cfg = self.config
        ids, mask, positions = (self._input(name, [-1, -1], kind) for name, kind in INPUTS.items())
        self.beam_idx = self._input("beam_idx", [-1], ov.Type.i32) if cfg.stateful else None
        self.batch = _dimension(ids, 0)
        self.mask = _causal_mask(mask, ids)
        self.rotation = _rotation(positions, cfg.head_size, self.batch)
        table = weights(cfg.lm_head_fmt, cfg.vocab, cfg.hidden, cfg.seed, "self.model.embed_tokens.weight")
        x: Value = op.gather(table, op.convert(ids, "i32"), op.constant(np.int32(0)))
        for block in range(cfg.blocks):
            x = self._block(x, block)
        logits = project(self._norm(x, "norm"), table, cfg.lm_head_fmt, "__module.lm_head/aten::linear/MatMul")
        return self._model({"logits": logits, **self.outputs})

    def _model(self, outputs: dict[str, ov.Output]) -> ov.Model:
        model = finish(list(outputs.values()), self.inputs, list(outputs), self.sinks)
        return number_nodes(model, everything=self.config.bare_names)

    def _input(self, name: str, shape: list[int], kind: ov.Type) -> ov.op.Parameter:
        node = op.parameter(shape, kind, name=name)
        node.output(0).set_names({name})
        self.inputs.append(node)
        return node

    def _block(self, x: Value, block: int) -> Value:
        prefix = f"layers.{block}"
        x = op.add(x, self._attention(self._norm(x, f"{prefix}.input_layernorm"), block))
        return op.add(x, self._mlp(self._norm(x, f"{prefix}.post_attention_layernorm"), block))

    def _linear(self, x: Value, n: int, k: int, name: str) -> ov.Output:
        cfg = self.config
        seed = cfg.seed + sum(map(ord, name))
        weight = weights(cfg.fmt, n, k, seed, f"self.model.{name}.weight")
        return project(x, weight, cfg.fmt, f"__module.model.{name}/aten::linear/MatMul")

    def _norm(self, x: Value, name: str) -> ov.Output:
        """RMSNorm with its scale."""
        mean = op.reduce_mean(op.power(x, np.float32(2)), np.array([-1]), keep_dims=True)
        inverse = op.divide(np.float32(1), op.sqrt(op.add(mean, np.float32(1e-5))))
        scale = np.random.default_rng(self.config.seed).uniform(0.5, 1.5, (1, 1, self.config.hidden))
        weight = constant(scale.astype(np.float32), "f32", f"self.model.{name}.weight")
        return op.multiply(weight, op.multiply(x, inverse)).output(0)

    def _mlp(self, x: ov.Output, block: int) -> ov.Output:
        cfg, name = self.config, f"layers.{block}.mlp"
        gate = op.swish(self._linear(x, cfg.ffn, cfg.hidden, f"{name}.gate_proj"))
        up = self._linear(x, cfg.ffn, cfg.hidden, f"{name}.up_proj")
        return self._linear(op.multiply(gate, up), cfg.hidden, cfg.ffn, f"{name}.down_proj")

    def _attention(self, x: ov.Output, block: int) -> ov.Output:
        cfg, name = self.config, f"layers.{block}.self_attn"
        query = _rotate(self._heads(x, cfg.heads, f"{name}.q_proj"), self.rotation, cfg.head_size)
        key = _rotate(self._heads(x, cfg.kv_heads, f"{name}.k_proj"), self.rotation, cfg.head_size)
        value = self._heads(x, cfg.kv_heads, f"{name}.v_proj")
        keys = self._repeated(self._cached(key, block, "key"))
        values = self._repeated(self._cached(value, block, "value"))
        mixed = op.scaled_dot_product_attention(query, keys, values, self.mask)
        merged = self._merged(op.transpose(mixed, np.array([0, 2, 1, 3])), x)
        return self._linear(merged, cfg.hidden, cfg.hidden, f"{name}.o_proj")

    def _heads(self, x: ov.Output, heads: int, name: str) -> ov.Node:
        """Projection and split: [b, t, hidden] -> [b, heads, t, head_size]."""
        cfg = self.config
        projected = self._linear(x, heads * cfg.head_size, cfg.hidden, name)
        split = op.reshape(projected, np.array([0, 0, heads, cfg.head_size]), special_zero=True)
        return op.transpose(split, np.array([0, 2, 1, 3]))

    def _merged(self, mixed: ov.Node, x: ov.Output) -> ov.Node:
        """[b, t, heads, head_size] -> [b, t, hidden]."""
        if not self.config.bare_names:
            return op.reshape(mixed, np.array([0, 0, self.config.hidden]), special_zero=True)
        leading = op.gather(op.shape_of(x), np.array([0, 1]), np.int64(0))
        return op.reshape(mixed, op.concat([leading, np.array([-1])], 0), special_zero=False)

    def _cached(self, new: Value, block: int, what: str) -> Value:
        """Past and new keys or values, [b, kv_heads, past + t, head_size]."""
        cfg = self.config
        past_name, present_name = f"past_key_values.{block}.{what}", f"present.{block}.{what}"
        shape = [-1, cfg.kv_heads, -1, cfg.head_size]
        if self.beam_idx is None:
            past = self._input(past_name, shape, ov.Type.f32)
            both = op.concat([past, new], 2)
            self.outputs[present_name] = both.output(0)
            return both
        empty = op.concat([self.batch, np.array([cfg.kv_heads, 0, cfg.head_size])], 0)
        variable = past_name + present_name
        state = op.read_value(op.broadcast(np.float32(0), empty), variable, ov.Type.f32, ov.PartialShape(shape))
        both = op.concat([op.gather(state, self.beam_idx, np.int64(0)), new], 2)
        self.sinks.append(op.assign(both, variable))
        return both

    def _repeated(self, x: Value) -> Value:
        """Each of the kv_heads for all its query heads: [b, kv_heads, t, d] -> [b, heads, t, d]."""
        cfg = self.config
        if cfg.heads == cfg.kv_heads:
            return x
        times = np.array([1, 1, cfg.heads // cfg.kv_heads, 1, 1])
        wide = op.broadcast(op.unsqueeze(x, np.int64(2)), times, broadcast_spec="BIDIRECTIONAL")
        return op.reshape(wide, np.array([0, cfg.heads, -1, cfg.head_size]), special_zero=True)


def _dimension(x: Value, axis: int) -> ov.Node:
    """One dimension of `x`, [1]."""
    return op.gather(op.shape_of(x), np.array([axis]), np.int64(0))


def _causal_mask(attention_mask: Value, ids: Value) -> ov.Node:
    """0 where a token may look, MASKED elsewhere: [b, 1, t, past + t]."""
    total, new = (op.squeeze(_dimension(x, 1), np.int64(0)) for x in (attention_mask, ids))
    zero, one = np.int64(0), np.int64(1)
    keys = op.unsqueeze(op.range(zero, total, one, "i64"), zero)
    queries = op.unsqueeze(op.range(op.subtract(total, new), total, one, "i64"), one)
    present = op.unsqueeze(op.convert(attention_mask, "boolean"), np.array([1, 2]))
    allowed = op.logical_and(op.less_equal(keys, queries), present)
    return op.select(allowed, np.float32(0), MASKED)


def _rotation(positions: Value, head_size: int, batch: Value) -> tuple[ov.Node, ov.Node]:
    """Cosine and sine of the rotary angles, [b, 1, t, head_size]."""
    inverse = 10000.0 ** -(np.arange(0, head_size, 2, dtype=np.float32) / head_size)
    shape = op.concat([batch, np.array([head_size // 2, 1])], 0)
    frequencies = op.broadcast(inverse.astype(np.float32).reshape(1, -1, 1), shape, broadcast_spec="BIDIRECTIONAL")
    angles = op.matmul(frequencies, op.convert(op.unsqueeze(positions, np.int64(1)), "f32"), False, False)
    half = op.transpose(angles, np.array([0, 2, 1]))
    whole = op.concat([half, half], -1)
    cosine, sine = op.cos(whole), op.sin(whole)
    return op.unsqueeze(cosine, np.int64(1)), op.unsqueeze(sine, np.int64(1))


def _rotate(x: Value, rotation: tuple[ov.Node, ov.Node], head_size: int) -> ov.Node:
    """Rotary embedding: x cos + (-x2, x1) sin."""
    cosine, sine = rotation
    low, high = (_part(x, start, start + head_size // 2) for start in (0, head_size // 2))
    turned = op.concat([op.multiply(high, np.float32(-1)), low], -1)
    return op.add(op.multiply(x, cosine), op.multiply(turned, sine))


def _part(x: Value, start: int, stop: int) -> ov.Node:
    return op.slice(x, np.array([start]), np.array([stop]), np.array([1]), np.array([3]))
