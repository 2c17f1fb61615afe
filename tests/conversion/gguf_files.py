"""Tiny GGUF files of random weights, as llama.cpp's converters write them.

`python -m tests.conversion.gguf_files` writes tiny-q4_1.gguf beside this file, which documents show.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import quantize

Array = npt.NDArray[np.float32]

HIDDEN, FFN, BLOCKS, HEADS, KV_HEADS, HEAD = 128, 192, 1, 2, 1, 64
_BYTES = sorted(chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256)))
WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "Ġ", "Ċ", *_BYTES, "th", "the"]
_CONTROL, _NORMAL = 3, 1
_MATRICES = {
    "attn_q": (HEADS * HEAD, HIDDEN),
    "attn_k": (KV_HEADS * HEAD, HIDDEN),
    "attn_v": (KV_HEADS * HEAD, HIDDEN),
    "attn_output": (HIDDEN, HEADS * HEAD),
    "ffn_gate": (FFN, HIDDEN),
    "ffn_up": (FFN, HIDDEN),
    "ffn_down": (HIDDEN, FFN),
}


def write_gguf(
    path: Path,
    kind: str = "Q8_0",
    architecture: str = "llama",
    *,
    tied: bool = True,
    more: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Array] | None = None,
) -> Path:
    """A decoder whose matrices are of one type.

    `more` are further metadata, text or 32-bit numbers; `tensors` further ones, in f32.
    """
    writer = gguf.GGUFWriter(path, architecture)
    _describe(writer)
    for key, value in (more or {}).items():
        added = {str: "string", float: "float32", int: "uint32"}[type(value)]
        getattr(writer, f"add_{added}")(key, value)
    rng = np.random.default_rng(0)
    shapes = {"token_embd.weight": (len(WORDS), HIDDEN)}
    for block in range(BLOCKS):
        shapes |= {f"blk.{block}.{name}.weight": shape for name, shape in _MATRICES.items()}
    if not tied:
        shapes["output.weight"] = (len(WORDS), HIDDEN)
    for name, shape in shapes.items():
        _add(writer, name, rng.normal(0, 0.05, shape).astype(np.float32), gguf.GGMLQuantizationType[kind])
    norms = [f"blk.{block}.{name}_norm" for block in range(BLOCKS) for name in ("attn", "ffn")]
    for norm in [*norms, "output_norm"]:
        writer.add_tensor(f"{norm}.weight", rng.normal(1, 0.05, HIDDEN).astype(np.float32))
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _describe(writer: Any) -> None:
    writer.add_block_count(BLOCKS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HEAD)
    writer.add_file_type(7)
    add_tokenizer(writer)
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}")


def add_tokenizer(writer: Any) -> None:
    """Byte-level BPE with two merges."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(WORDS)
    writer.add_token_types([_CONTROL] * 3 + [_NORMAL] * (len(WORDS) - 3))
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)


def _add(writer: Any, name: str, values: Array, kind: Any) -> None:
    if kind.name in ("F16", "F32"):
        writer.add_tensor(name, values.astype(np.float16 if kind.name == "F16" else np.float32))
    else:
        # gguf does not quantize to IQ4_NL, whose blocks look like those of Q4_0
        alike = gguf.GGMLQuantizationType.Q4_0 if kind.name == "IQ4_NL" else kind
        writer.add_tensor(name, quantize(values, alike), raw_dtype=kind)


def weights_in(path: Path, heads: Mapping[str, int] | None = None) -> dict[str, Array]:
    """Every matrix by name, dequantized by gguf; rows of queries and keys in Hugging Face's order.

    GGUF interleaves the two halves that rotary embedding pairs (llama.cpp, convert_hf_to_gguf.py, permute).
    """
    from gguf.quants import dequantize  # noqa: PLC0415

    heads = heads or {"attn_q": HEADS, "attn_k": KV_HEADS}
    found = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        if part in heads:
            pairs = values.reshape(heads[part], -1, 2, values.shape[-1])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        found[tensor.name] = values
    return found


if __name__ == "__main__":
    write_gguf(Path(__file__).with_name("tiny-q4_1.gguf"), "Q4_1")
