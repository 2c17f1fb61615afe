"""Tiny GGUF files of other architectures, and a forward pass of each in NumPy, as llama.cpp's graphs have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import dequantize, quantize

from tests.conversion.gguf_files import WORDS, add_tokenizer

Array = npt.NDArray[Any]

HIDDEN, FFN, BLOCKS, HEADS, HEAD, EXPERTS, USED, WINDOW = 128, 192, 2, 4, 32, 4, 2, 8
_EPSILON, _BASE = 1e-5, 10000.0
_DENSE = {"ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)}
_ROUTED = {
    "ffn_gate_inp": (EXPERTS, HIDDEN),
    "ffn_gate_exps": (EXPERTS, FFN, HIDDEN),
    "ffn_up_exps": (EXPERTS, FFN, HIDDEN),
    "ffn_down_exps": (EXPERTS, HIDDEN, FFN),
}
_QK_NORMS = ("attn_q_norm", "attn_k_norm")


def _attention(keys: int) -> dict[str, tuple[int, ...]]:
    projections = {"attn_q": (HEADS * HEAD, HIDDEN), "attn_k": (keys * HEAD, HIDDEN), "attn_v": (keys * HEAD, HIDDEN)}
    return {**projections, "attn_output": (HIDDEN, HEADS * HEAD)}


@dataclass(frozen=True)
class Architecture:
    """What a file of it has; `keys` is the number of heads of keys and values."""

    keys: int
    matrices: Mapping[str, tuple[int, ...]]
    norms: tuple[str, ...] = ("attn_norm", "ffn_norm")
    numbers: Mapping[str, int] = field(default_factory=dict)
    tied: bool = True


_EXPERT_COUNTS = {"expert_count": EXPERTS, "expert_used_count": USED, "expert_feed_forward_length": FFN}
_FUSED = {"attn_qkv": (3 * HEADS * HEAD, HIDDEN), "attn_output": (HIDDEN, HEADS * HEAD)}
ARCHITECTURES = {
    "llama": Architecture(1, {**_attention(1), **_DENSE}),
    "gemma3": Architecture(
        1,
        {**_attention(1), **_DENSE},
        ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm", *_QK_NORMS),
        {"attention.sliding_window": WINDOW},
    ),
    "phi3": Architecture(
        HEADS,
        {**_FUSED, "ffn_up": (2 * FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)},
        numbers={"attention.sliding_window": WINDOW},
        tied=False,
    ),
    "qwen3moe": Architecture(
        2, {**_attention(2), **_ROUTED}, ("attn_norm", "ffn_norm", *_QK_NORMS), _EXPERT_COUNTS, tied=False
    ),
    "olmoe": Architecture(2, {**_attention(2), **_ROUTED}, numbers=_EXPERT_COUNTS),
}


def write(path: Path, name: str, kind: str = "Q8_0") -> Path:
    """A file with random weights, all matrices of one type."""
    given, rng = ARCHITECTURES[name], np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, name)
    numbers = {
        "block_count": BLOCKS, "context_length": 64, "embedding_length": HIDDEN, "feed_forward_length": FFN,
        "attention.head_count": HEADS, "attention.head_count_kv": given.keys, "attention.key_length": HEAD,
        "attention.value_length": HEAD, "rope.dimension_count": HEAD, **given.numbers,
    }  # fmt: skip
    for key, number in numbers.items():
        writer.add_uint32(f"{name}.{key}", number)
    writer.add_layer_norm_rms_eps(_EPSILON)
    writer.add_rope_freq_base(_BASE)
    add_tokenizer(writer)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (len(WORDS), HIDDEN)}
    shapes |= {} if given.tied else {"output.weight": (len(WORDS), HIDDEN)}
    for block in range(BLOCKS):
        shapes |= {f"blk.{block}.{part}.weight": shape for part, shape in given.matrices.items()}
    for tensor, shape in shapes.items():
        quantization = gguf.GGMLQuantizationType[kind]
        values = rng.normal(0, 0.05, shape).astype(np.float32)
        writer.add_tensor(tensor, quantize(values, quantization), raw_dtype=quantization)
    norms = {
        f"blk.{block}.{part}.weight": HEAD if part in _QK_NORMS else HIDDEN
        for block in range(BLOCKS)
        for part in given.norms
    }
    for tensor, size in {**norms, "output_norm.weight": HIDDEN}.items():
        writer.add_tensor(tensor, rng.normal(1, 0.1, size).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def forward(path: Path, name: str, ids: Array) -> Array:
    """Logits [tokens, vocabulary] of one text, in f64."""
    weights = {
        tensor.name.removesuffix(".weight"): dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }
    x = weights["token_embd"][ids] * (np.sqrt(HIDDEN) if name == "gemma3" else 1)
    for block in range(BLOCKS):
        start = f"blk.{block}."
        own = {key.removeprefix(start): values for key, values in weights.items() if key.startswith(start)}
        x = x + _normed(_attend(_rms(x, own["attn_norm"]), own, name), own.get("post_attention_norm"))
        h = _rms(x, own["ffn_norm"])
        y = _routed(h, own, name) if "ffn_gate_inp" in own else _dense(h, own, name)
        x = x + _normed(y, own.get("post_ffw_norm"))
    return np.asarray(_rms(x, weights["output_norm"]) @ weights.get("output", weights["token_embd"]).T)


def _attend(h: Array, own: Mapping[str, Array], name: str) -> Array:
    keys = ARCHITECTURES[name].keys
    sizes = [HEADS * HEAD, (HEADS + keys) * HEAD]
    fused = own.get("attn_qkv")
    rows = np.concatenate([own[f"attn_{part}"] for part in "qkv"]) if fused is None else fused
    q, k, v = (part.reshape(len(h), -1, HEAD) for part in np.split(h @ rows.T, sizes, axis=-1))
    if "attn_q_norm" in own:
        q, k = _rms(q, own["attn_q_norm"]), _rms(k, own["attn_k_norm"])
    q, k = _rotated(q, neighbours=name == "llama"), _rotated(k, neighbours=name == "llama")
    k, v = (np.repeat(part, HEADS // keys, axis=1) for part in (k, v))
    places = np.arange(len(h))
    seen = places <= places[:, None]
    if "attention.sliding_window" in ARCHITECTURES[name].numbers:
        seen &= places > places[:, None] - WINDOW
    scores = np.where(seen, np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD), -np.inf)
    return np.asarray(np.einsum("hqk,khd->qhd", _softmax(scores), v).reshape(len(h), -1) @ own["attn_output"].T)


def _rotated(x: Array, *, neighbours: bool) -> Array:
    """By pairs of neighbours (NORM), or of the two halves of a head (NEOX)."""
    angles = np.arange(len(x))[:, None] * _BASE ** (-np.arange(0, HEAD, 2) / HEAD)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = (x[..., ::2], x[..., 1::2]) if neighbours else np.split(x, 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return np.stack(turned, axis=-1).reshape(x.shape) if neighbours else np.concatenate(turned, axis=-1)


def _dense(h: Array, own: Mapping[str, Array], name: str) -> Array:
    up = h @ own["ffn_up"].T
    gate, up = (h @ own["ffn_gate"].T, up) if "ffn_gate" in own else np.split(up, 2, axis=-1)
    return np.asarray((_gelu(gate) if name == "gemma3" else _silu(gate)) * up @ own["ffn_down"].T)


def _routed(h: Array, own: Mapping[str, Array], name: str) -> Array:
    probabilities = _softmax(h @ own["ffn_gate_inp"].T)
    least = np.sort(probabilities, axis=-1)[:, -USED, None]
    chosen = np.where(probabilities >= least, probabilities, 0)
    if name == "qwen3moe":
        chosen = chosen / chosen.sum(axis=-1, keepdims=True)
    gate, up = (np.einsum("tk,enk->ten", h, own[f"ffn_{part}_exps"]) for part in ("gate", "up"))
    return np.asarray(np.einsum("te,ten,ekn->tk", chosen, _silu(gate) * up, own["ffn_down_exps"]))


def _rms(x: Array, weights: Array) -> Array:
    return np.asarray(x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + _EPSILON) * weights)


def _normed(x: Array, weights: Array | None) -> Array:
    return x if weights is None else _rms(x, weights)


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
