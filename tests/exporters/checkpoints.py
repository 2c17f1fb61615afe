"""Tiny models with random weights as Hugging Face folders, and the same packed as GPTQ and AWQ pack them."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HIDDEN, FFN, BLOCKS, VOCAB = 128, 256, 2, 300
_GROUPED = (0, 2, 4, 6, 1, 3, 5, 7)
_LINEAR = ("_proj.weight",)


def _hf() -> Any:
    return importlib.import_module("transformers")


def _torch() -> Any:
    return importlib.import_module("torch")


def _save(model: Any, folder: Path) -> Path:
    model.eval().half().save_pretrained(folder)
    _tokenizer(folder)
    return folder


def _tokenizer(folder: Path) -> None:
    """Bytes and a few merges."""
    parts = importlib.import_module("tokenizers")
    alphabet = sorted(parts.pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "</s>", "<unk>", *alphabet, "th", "the", "in", "an"]
    vocabulary = {word: index for index, word in enumerate(words)}
    merges = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n")]
    tokenizer = parts.Tokenizer(parts.models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = parts.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = parts.decoders.ByteLevel()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    _hf().PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def llama(folder: Path) -> Path:
    """LlamaForCausalLM in f16."""
    _torch().manual_seed(0)
    config = _hf().LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=BLOCKS, num_attention_heads=2,
        num_key_value_heads=1, head_dim=64, max_position_embeddings=128, bos_token_id=0, eos_token_id=1,
        pad_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    return _save(_hf().LlamaForCausalLM(config), folder)


def bert(folder: Path) -> Path:
    """BertModel in f16."""
    _torch().manual_seed(0)
    config = _hf().BertConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=BLOCKS, num_attention_heads=2,
        max_position_embeddings=128,
    )  # fmt: skip
    return _save(_hf().BertModel(config), folder)


def sd3(folder: Path) -> Path:
    """A pipeline of diffusion, with three text encoders and their tokenizers."""
    _torch().manual_seed(0)
    df, hf = importlib.import_module("diffusers"), _hf()
    _tokenizer(folder / "words")
    words = hf.PreTrainedTokenizerFast.from_pretrained(folder / "words", model_max_length=16)
    shutil.rmtree(folder / "words")
    clip = hf.CLIPTextModelWithProjection(
        hf.CLIPTextConfig(
            vocab_size=VOCAB, hidden_size=64, intermediate_size=FFN, num_hidden_layers=1, num_attention_heads=1,
            max_position_embeddings=16, projection_dim=64,
        )
    )  # fmt: skip
    t5 = hf.T5EncoderModel(hf.T5Config(vocab_size=VOCAB, d_model=HIDDEN, d_kv=64, d_ff=FFN, num_layers=1, num_heads=2))
    transformer = df.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=64, num_attention_heads=2,
        joint_attention_dim=HIDDEN, caption_projection_dim=HIDDEN, pooled_projection_dim=HIDDEN, out_channels=4,
        pos_embed_max_size=8, qk_norm="rms_norm",
    )  # fmt: skip
    vae = df.AutoencoderKL(
        block_out_channels=(32,), latent_channels=4, sample_size=16, norm_num_groups=8, layers_per_block=1,
        shift_factor=0.0,
    )  # fmt: skip
    scheduler = df.FlowMatchEulerDiscreteScheduler()
    df.StableDiffusion3Pipeline(transformer, scheduler, vae, clip, words, clip, words, t5, words).save_pretrained(
        folder
    )
    return folder


def pack(
    source: Path, folder: Path, method: str, *, group: int = 32, sym: bool = False, **more: Any
) -> dict[str, Array]:
    """The folder with every projection packed; returns the weights [N, K] that each is to have, exact in f32.

    `more` goes into quantization_config; with `desc_act` inputs belong to groups at random.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    files = importlib.import_module("safetensors.numpy")
    tensors = files.load_file(source / "model.safetensors")
    rng = np.random.default_rng(0)
    bits, expected = more.get("bits", 4), {}
    for name in [name for name in tensors if name.endswith(_LINEAR)]:
        n, k = tensors.pop(name).shape
        size = k if group < 0 else group
        codes = rng.integers(0, 1 << bits, (k, n))
        # GPTQ's first format stores zero points less one: 0 has no place in it
        zeros = np.full((k // size, n), 1 << (bits - 1)) if sym else rng.integers(1, (1 << bits), (k // size, n))
        scales = rng.uniform(0.005, 0.02, (k // size, n)).astype(np.float16)
        groups = np.arange(k) // size
        if more.get("desc_act"):
            groups = rng.permutation(groups)
        module = name.removesuffix(".weight")
        expected[module] = ((codes - zeros[groups]).astype(np.float32) * scales.astype(np.float32)[groups]).T
        packed = _gptq(codes, zeros, bits, more) if method == "gptq" else _awq(codes, zeros)
        tensors |= {f"{module}.qweight": packed[0], f"{module}.qzeros": packed[1], f"{module}.scales": scales}
        if method == "gptq":
            tensors[f"{module}.g_idx"] = groups.astype(np.int32)
    files.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    own = {"version": "gemm", "zero_point": True} if method == "awq" else {"sym": sym, "desc_act": False}
    config["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": group, **own, **more}
    (folder / "config.json").write_text(json.dumps(config))
    return expected


def _gptq(codes: Array, zeros: Array, bits: int, more: dict[str, Any]) -> tuple[Array, Array]:
    """Along K for codes, along N for zero points."""
    stored = zeros - (more.get("checkpoint_format", "gptq") == "gptq")
    return np.ascontiguousarray(_words(codes.T, bits).T), _words(stored, bits)


def _awq(codes: Array, zeros: Array) -> tuple[Array, Array]:
    """Along N, eight columns in a word in an order of their own."""
    columns = np.arange(codes.shape[1]).reshape(-1, 8)[:, list(_GROUPED)].reshape(-1)
    return _words(codes[:, columns], 4), _words(zeros[:, columns], 4)


def _words(values: Array, bits: int) -> Array:
    """32-bit words along the last axis, the first value in the lowest bits."""
    each = values.reshape(*values.shape[:-1], -1, 32 // bits).astype(np.uint64)
    shifts = np.arange(0, 32, bits, dtype=np.uint64)
    return np.ascontiguousarray((each << shifts).sum(axis=-1).astype(np.uint32)).view(np.int32)
