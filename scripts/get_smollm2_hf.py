#!/usr/bin/env python3
"""Get SmolLM2-135M-Instruct as a Hugging Face folder (f32 safetensors), and print the folder's path.

The weights are those of the GGUF that get_smollm2.py downloads, dequantized exactly by transformers. The folder is
`smollm2-135m-hf` beside that script's own.
Exit code 2: no network, or a package missing; it needs the extra `export`, and gguf and accelerate.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import get_smollm2 as base

os.environ["HF_HUB_OFFLINE"] = "1"

FOLDER = "smollm2-135m-hf"
FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CONTROL = 3
"""Tokens of GGUF's type "control": special ones."""


def get_hf(cache: Path) -> Path:
    """The folder, made first if it is not there."""
    return base.kept(cache / FOLDER, make_hf, FILES)


def make_hf(scratch: Path) -> Path:
    """Download, dequantize and save inside `scratch`."""
    base.require("torch", "transformers", "gguf", "accelerate")
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    folder = scratch / FOLDER
    folder.mkdir()
    gguf = base.fetch_gguf(folder)
    base.say("dequantizing")
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    model.save_pretrained(folder)
    write_tokenizer(gguf, folder)
    (folder / "NOTICE").write_text(base.NOTICE.replace("OpenVINO IR", "safetensors"), encoding="utf-8")
    return folder


def write_tokenizer(gguf: Path, folder: Path) -> None:
    """The tokenizer that the GGUF describes; transformers' own reading of it splits digits and spaces wrongly."""
    from gguf import GGUFReader  # noqa: PLC0415
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    fields = GGUFReader(gguf).fields

    def value(name: str) -> Any:
        return fields[f"tokenizer.{name}"].contents()

    tokens, merges = value("ggml.tokens"), [tuple(pair.split(" ", 1)) for pair in value("ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    # llama.cpp's pre-tokenizer "smollm".
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, value("ggml.token_type"), strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[base.TOKENS["bos_token_id"]],
        eos_token=tokens[base.TOKENS["eos_token_id"]],
        pad_token=tokens[base.TOKENS["pad_token_id"]],
        unk_token=tokens[0],
        model_max_length=base.CONFIG["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = value("chat_template")
    fast.save_pretrained(folder)
    # The class is saved under a name that only this release of transformers knows.
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(base.print_folder(get_hf))
