#!/usr/bin/env python3
"""Quantize a Hugging Face folder by bitsandbytes to nf4, or by llm-compressor with AWQ to 4-bit integers.

The result is a packed checkpoint, which `ovpass convert` reads. Runs in the environment of make_checkpoints.py, without
network, on a CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

GROUP = 64
"""SmolLM2's K of 576 is no multiple of 128."""


def nf4(source: Path, target: Path) -> None:
    """NF4 in blocks of 64, double quantization included, as QLoRA has it."""
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, quantization_config=settings, device_map="cpu"
    )
    model.save_pretrained(target)


def awq(source: Path, target: Path, text: Path, *, samples: int, tokens: int, grid: int) -> None:
    """W4A16: symmetric 4-bit integers in groups, after AWQ on the start of a text."""
    from datasets import Dataset  # noqa: PLC0415 - for this tool alone
    from llmcompressor import oneshot  # noqa: PLC0415
    from llmcompressor.modifiers.quantization import QuantizationModifier  # noqa: PLC0415
    from llmcompressor.modifiers.transform.awq import AWQModifier  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(source)
    ids = tokenizer(text.read_text(encoding="utf-8")[: 8 * samples * tokens])["input_ids"]
    rows = [ids[start : start + tokens] for start in range(0, samples * tokens, tokens)]
    data = Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * tokens] * samples})
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    recipe = [AWQModifier(n_grid=grid), QuantizationModifier(ignore=["lm_head"], config_groups=groups)]
    # llm-compressor 0.14 pins memory for an accelerator that a CPU has none of.
    with patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor):
        oneshot(
            model=model,
            dataset=data,
            recipe=recipe,
            num_calibration_samples=samples,
            max_seq_length=tokens,
            processor=tokenizer,
        )
    model.save_pretrained(target, save_compressed=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=("nf4", "awq"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--text", type=Path, help="what AWQ looks at")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--grid", type=int, default=20, help="scales that AWQ tries for each layer")
    arguments = parser.parse_args()
    if arguments.method == "nf4":
        nf4(arguments.source, arguments.target)
    elif arguments.text is None:
        parser.error("awq needs --text")
    else:
        sizes = {"samples": arguments.samples, "tokens": arguments.tokens, "grid": arguments.grid}
        awq(arguments.source, arguments.target, arguments.text, **sizes)
    AutoTokenizer.from_pretrained(arguments.source).save_pretrained(arguments.target)
    print(arguments.target)


if __name__ == "__main__":
    main()
