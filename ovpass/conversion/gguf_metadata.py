"""GGUF metadata and the equivalent Hugging Face configuration."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""Those that OpenVINO GenAI builds a graph for (gguf_modeling.cpp, create_from_gguf), with their Hugging Face names."""
TOKENS = "tokenizer.ggml.tokens"


@dataclass(frozen=True)
class GgufFile:
    """Metadata, and how many matrices of each type there are; `reader` is gguf's."""

    path: Path
    architecture: str
    types: Mapping[str, int]
    tied: bool
    reader: Any

    @property
    def tokenizer(self) -> Any:
        """The kind of tokenizer as llama.cpp calls it, None where the file does not say."""
        return self.value("tokenizer.ggml.model")

    def value(self, key: str, default: Any = None) -> Any:
        """A metadata value; keys of the architecture without its name."""
        for name in (f"{self.architecture}.{key}", key):
            if name in self.reader.fields:
                return self.reader.fields[name].contents()
        return default


def config_of(file: GgufFile) -> dict[str, Any]:
    """Hugging Face's config.json for the model; the names are those of LlamaConfig and its kin.

    Numbers that differ from block to block are those of the block with the largest.
    """
    hidden, heads = int(file.value("embedding_length")), _largest(file.value("attention.head_count"))
    known = {"architectures": [ARCHITECTURES[file.architecture]]} if file.architecture in ARCHITECTURES else {}
    return {
        **known,
        "model_type": file.architecture,
        "hidden_size": hidden,
        "intermediate_size": _largest(file.value("feed_forward_length", 0)),
        "num_hidden_layers": int(file.value("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": _largest(file.value("attention.head_count_kv", heads)),
        "head_dim": int(file.value("attention.key_length", hidden // heads)),
        "max_position_embeddings": int(file.value("context_length", 2048)),
        "rms_norm_eps": _shortest(file.value("attention.layer_norm_rms_epsilon", 1e-5)),
        "rope_theta": _shortest(file.value("rope.freq_base", 10000.0)),
        "tie_word_embeddings": file.tied,
        "vocab_size": len(file.value(TOKENS)),
        **token_ids(file),
    }


def token_ids(file: GgufFile) -> dict[str, int]:
    """The special tokens that end and pad a text."""
    places = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    found = {name: file.value(f"tokenizer.ggml.{kind}_token_id") for name, kind in places.items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def write_configurations(file: GgufFile, folder: Path) -> None:
    """config.json and generation_config.json."""
    for name, content in (("config.json", config_of(file)), ("generation_config.json", token_ids(file))):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _largest(value: Any) -> int:
    return max(map(int, value)) if isinstance(value, list) else int(value)


def _shortest(value: float) -> float:
    """1e-5, which f32 holds as 9.99999974e-06."""
    rounded = float(f"{value:.6g}")
    return rounded if math.isclose(rounded, value, rel_tol=1e-7) else float(value)
