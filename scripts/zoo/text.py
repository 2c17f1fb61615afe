"""Tiny text models of transformers with random weights, saved as Hugging Face folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

VOCAB, HIDDEN, HEAD, FFN, BLOCKS = 256, 128, 64, 192, 2
HEADS, KV_HEADS, POSITIONS = 2, 1, 128
EXPERTS = 4

Options = dict[str, Any]
Build = Callable[[Path], None]

_IDS: Options = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_COMMON: Options = {"vocab_size": VOCAB, "tie_word_embeddings": False, **_IDS}
_DECODER: Options = {
    **_COMMON,
    "hidden_size": HIDDEN,
    "intermediate_size": FFN,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD,
    "max_position_embeddings": POSITIONS,
}


def save(model: Any, folder: Path) -> None:
    """Write the model and its configuration."""
    model.eval().save_pretrained(folder)


def build(model: str, config: str, options: Options) -> Build:
    """A model by the names of its classes."""

    def write(folder: Path) -> None:
        torch.manual_seed(0)
        save(getattr(hf, model)(getattr(hf, config)(**options)), folder)

    return write


def decoder(family: str, **options: Any) -> Build:
    """`<family>ForCausalLM` with the sizes that all decoders share."""
    return build(f"{family}ForCausalLM", f"{family}Config", {**_DECODER, **options})


def gemma3() -> Build:
    """One block with a sliding window, one without; norms around each part."""
    types = ["sliding_attention", "full_attention"]
    options = {**_DECODER, "layer_types": types, "sliding_window": 32, "query_pre_attn_scalar": HEAD}
    return build("Gemma3ForCausalLM", "Gemma3TextConfig", {**options, "tie_word_embeddings": True})


def gpt2() -> Build:
    """Conv1D layers: weights stored [K, N], Q, K and V in one."""
    sizes = {"n_embd": HIDDEN, "n_layer": BLOCKS, "n_head": HEADS, "n_positions": POSITIONS, "n_inner": FFN}
    return build("GPT2LMHeadModel", "GPT2Config", {**_COMMON, **sizes, "tie_word_embeddings": True})


def opt() -> Build:
    """Separate projections with biases, a ReLU feed-forward part."""
    sizes = {"hidden_size": HIDDEN, "ffn_dim": FFN, "word_embed_proj_dim": HIDDEN, "num_attention_heads": HEADS}
    more = {"num_hidden_layers": BLOCKS, "max_position_embeddings": POSITIONS, "tie_word_embeddings": True}
    return build("OPTForCausalLM", "OPTConfig", {**_COMMON, **sizes, **more})


def bloom() -> Build:
    """ALiBi instead of positions; Q, K and V in one, interleaved by head."""
    sizes = {"hidden_size": HIDDEN, "n_layer": BLOCKS, "n_head": HEADS, "tie_word_embeddings": True}
    return build("BloomForCausalLM", "BloomConfig", {**_COMMON, **sizes})


def mamba() -> Build:
    """No attention: a selective scan, written as a loop."""
    sizes = {"hidden_size": HIDDEN, "state_size": 16, "num_hidden_layers": BLOCKS, "time_step_rank": 32}
    return build("MambaForCausalLM", "MambaConfig", {**_COMMON, **sizes})


def bert() -> Build:
    """An encoder with a language-model head."""
    sizes = {"hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": BLOCKS}
    more = {"num_attention_heads": HEADS, "max_position_embeddings": POSITIONS}
    return build("BertForMaskedLM", "BertConfig", {**_COMMON, **sizes, **more, "tie_word_embeddings": True})


def t5() -> Build:
    """Encoder and decoder, gated feed-forward parts, relative positions."""
    sizes = {
        "d_model": HIDDEN,
        "d_kv": HEAD,
        "d_ff": FFN,
        "num_layers": 1,
        "num_decoder_layers": BLOCKS,
        "num_heads": HEADS,
    }
    more = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0}
    return build("T5ForConditionalGeneration", "T5Config", {**_COMMON, **sizes, **more})


def bart() -> Build:
    """Encoder and decoder with learned positions and biases."""
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", BLOCKS), ("ffn_dim", FFN), ("attention_heads", HEADS))
    }
    sizes = {"d_model": HIDDEN, "max_position_embeddings": POSITIONS, "decoder_start_token_id": 2}
    more = {"forced_eos_token_id": 2, "tie_word_embeddings": True}
    return build("BartForConditionalGeneration", "BartConfig", {**_COMMON, **sides, **sizes, **more})


def gpt_neox() -> Build:
    """Attention and feed-forward part side by side on one residual stream; Q, K and V in one."""
    sizes = {"hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": BLOCKS}
    more = {"num_attention_heads": HEADS, "max_position_embeddings": POSITIONS}
    return build("GPTNeoXForCausalLM", "GPTNeoXConfig", {**_COMMON, **sizes, **more})


def lfm2() -> Build:
    """One block with a gated short convolution, one with attention."""
    return decoder("Lfm2", layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False)


def qwen3_next() -> Build:
    """One block with linear attention (a loop over tokens), one with gated attention; experts, one of them shared."""
    linear = {f"linear_num_{part}_heads": HEADS for part in ("key", "value")}
    linear |= {f"linear_{part}_head_dim": HEAD // 2 for part in ("key", "value")}
    experts = {"num_experts": EXPERTS, "num_experts_per_tok": 2}
    widths = {"moe_intermediate_size": HEAD, "shared_expert_intermediate_size": HEAD}
    types = ["linear_attention", "full_attention"]
    return decoder("Qwen3Next", layer_types=types, **linear, **experts, **widths)
