"""What a GGUF file says of itself, and whether OpenVINO GenAI can read it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovpass.conversion.gguf_checks import check_finite, check_tensors, check_tokenizer
from ovpass.errors import ModelError
from ovpass.support.extras import extra_module

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""Those that OpenVINO GenAI builds a graph for (gguf_modeling.cpp, create_from_gguf), with their Hugging Face names."""
READ_EXACTLY = ("F16", "Q8_0", "Q4_0")
ROUNDED = {"Q4_1": "8 %", "Q4_K": "4 %", "Q6_K": "0.02 %"}
"""Types that GenAI rounds, and the relative error of the weights (measured, see docs/convert.md).

In the 4-bit ones a block's minimum, a float, becomes an integer zero point; in the other, scales become f16.
"""

_REQUIRED = ("block_count", "embedding_length", "feed_forward_length", "attention.head_count")
_TOKENS = "tokenizer.ggml.tokens"


@dataclass(frozen=True)
class GgufFile:
    """Metadata, and how many matrices of each type there are; `reader` is gguf's."""

    path: Path
    architecture: str
    types: Mapping[str, int]
    tied: bool
    reader: Any

    def value(self, key: str, default: Any = None) -> Any:
        """A metadata value; keys of the architecture without its name."""
        for name in (f"{self.architecture}.{key}", key):
            if name in self.reader.fields:
                return self.reader.fields[name].contents()
        return default


def open_gguf(path: Path) -> GgufFile:
    """Read the header and make sure that all tensors are there.

    Raises:
        ModelError: for a damaged or truncated file, and a model that GenAI does not build.
        ExtraError: where gguf is not installed.
    """
    gguf = extra_module("gguf", "gguf", "reading GGUF files")
    try:
        reader = gguf.GGUFReader(path)
        fields = reader.fields
        architecture = fields["general.architecture"].contents() if "general.architecture" in fields else None
        matrices = [tensor for tensor in reader.tensors if len(tensor.shape) > 1]
        names = {tensor.name for tensor in reader.tensors}
        types = Counter(tensor.tensor_type.name for tensor in matrices)
        file = GgufFile(path, str(architecture), types, "output.weight" not in names, reader)
        _check(file)
        config_of(file)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the reader checks nothing: damage shows as whatever goes wrong first
        raise ModelError(f"{path}: is not a complete GGUF file: {str(error) or type(error).__name__}") from error
    return file


def _check(file: GgufFile) -> None:
    if file.architecture not in ARCHITECTURES:
        raise ModelError(
            f"{file.path}: OpenVINO GenAI has no graph for architecture {file.architecture!r} from GGUF, only for "
            f"{', '.join(ARCHITECTURES)}; convert the model's Hugging Face folder instead"
        )
    if int(file.value("split.count", 0)) > 1:
        raise ModelError(f"{file.path}: is one of several parts; join them first (llama-gguf-split --merge)")
    if missing := [key for key in _REQUIRED if file.value(key) is None]:
        raise ModelError(f"{file.path}: lacks {', '.join(f'{file.architecture}.{key}' for key in missing)}")
    if file.value(_TOKENS) is None:
        raise ModelError(f"{file.path}: lacks a tokenizer ({_TOKENS})")
    check_tokenizer(file)
    check_tensors(file)


def check_readable(file: GgufFile) -> None:
    """Refuse types of weights that GenAI cannot read, and values that are none.

    Raises:
        ModelError: naming them, and for types the way that takes them all.
    """
    if unknown := [name for name in file.types if name not in (*READ_EXACTLY, *ROUNDED)]:
        raise ModelError(
            f"{file.path}: OpenVINO GenAI cannot read {', '.join(unknown)} weights, only "
            f"{', '.join((*READ_EXACTLY, *ROUNDED))}; --exact dequantizes every type to f16"
        )
    check_finite(file)


def notes_on_types(file: GgufFile) -> list[str]:
    """What GenAI's reading of integers loses."""
    return [
        f"{file.types[name]} {name} matrices were rounded by OpenVINO GenAI, with a relative error of about {error}; "
        "--exact keeps what the file says, in f16"
        for name, error in ROUNDED.items()
        if name in file.types
    ]


def config_of(file: GgufFile) -> dict[str, Any]:
    """Hugging Face's config.json for the model; the names are those of LlamaConfig and its kin."""
    hidden, heads = int(file.value("embedding_length")), int(file.value("attention.head_count"))
    return {
        "architectures": [ARCHITECTURES[file.architecture]],
        "model_type": file.architecture,
        "hidden_size": hidden,
        "intermediate_size": int(file.value("feed_forward_length")),
        "num_hidden_layers": int(file.value("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(file.value("attention.head_count_kv", heads)),
        "head_dim": int(file.value("attention.key_length", hidden // heads)),
        "max_position_embeddings": int(file.value("context_length", 2048)),
        "rms_norm_eps": _shortest(file.value("attention.layer_norm_rms_epsilon", 1e-5)),
        "rope_theta": _shortest(file.value("rope.freq_base", 10000.0)),
        "tie_word_embeddings": file.tied,
        "vocab_size": len(file.value(_TOKENS)),
        **token_ids(file),
    }


def token_ids(file: GgufFile) -> dict[str, int]:
    """The special tokens that end and pad a text."""
    places = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    found = {name: file.value(f"tokenizer.ggml.{kind}_token_id") for name, kind in places.items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def _shortest(value: float) -> float:
    """1e-5, which f32 holds as 9.99999974e-06."""
    rounded = float(f"{value:.6g}")
    return rounded if math.isclose(rounded, value, rel_tol=1e-7) else float(value)
