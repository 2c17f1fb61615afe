#!/usr/bin/env python3
"""Make the packed checkpoints under models/checkpoints: a tiny Llama, quantized by each tool itself.

Weights are random. Beside each folder lies what its tool dequantizes the weights to, and the logits of those. Needs the
tools, in an environment of their own, and no network:

    python -m venv venv-tools
    venv-tools/bin/pip install torch==2.13.0
    venv-tools/bin/pip install llmcompressor bitsandbytes auto-round torchao hqq torch==2.13.0
    venv-tools/bin/pip install --no-deps mslk-cuda triton    # torchao's 4 bits; only its Python code is used
    MSLK_PYTHON_ONLY=1 HF_HUB_OFFLINE=1 venv-tools/bin/python scripts/make_checkpoints.py
"""

# ruff: noqa: PLC0415 - each tool is imported where it is used

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parent.parent
IDS = [[1, 5, 9, 40, 63, 2, 17, 30]]
ROWS = 8
"""Every eighth row of each weight is kept as what its tool makes of it."""
_KEPT = ("config.json", "model.safetensors")

Weights = dict[str, torch.Tensor]


def base(folder: Path) -> Path:
    """LlamaForCausalLM in bf16; its K of 160 is no multiple of blocks of 64 or 128."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=160, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=128, bos_token_id=0, eos_token_id=1,
        tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def compressed_tensors(source: Path, folder: Path, **recipe: Any) -> Weights:
    """By llm-compressor, rounded to nearest; dequantized by compressed-tensors with scales in f32."""
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    oneshot(model=model, recipe=[QuantizationModifier(ignore=["lm_head"], **recipe)], pipeline="datafree")
    model.save_pretrained(folder, save_compressed=True)
    return _decompressed(model)


def _decompressed(model: Any) -> Weights:
    """In f32, where compressed-tensors would unpack f4 to bf16."""
    from compressed_tensors.compressors import decompress_module
    from compressed_tensors.compressors.nvfp4 import base as nvfp4

    found = {}
    in_f32 = partial(nvfp4.unpack_fp4_from_uint8, dtype=torch.float32)
    with patch.object(nvfp4, "unpack_fp4_from_uint8", in_f32):
        for name, module in model.named_modules():
            if getattr(module, "quantization_scheme", None) is not None:
                module.float()
                decompress_module(module)
                found[name] = module.weight.detach().float()
    return found


def bitsandbytes(source: Path, folder: Path, **config: Any) -> Weights:
    """By transformers; dequantized to f32 by bitsandbytes."""
    from bitsandbytes import functional

    settings = BitsAndBytesConfig(llm_int8_skip_modules=["lm_head"], **config)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, quantization_config=settings, device_map="cpu"
    )
    model.save_pretrained(folder)
    found = {}
    for name, module in model.named_modules():
        weight: Any = getattr(module, "weight", None)
        if state := getattr(weight, "quant_state", None):
            # bitsandbytes 0.50 lets the blocks of a row begin anew on CPUs, but not where it quantizes
            shape, state.shape, state.dtype = state.shape, torch.Size([1, state.shape.numel()]), torch.float32
            found[name] = functional.dequantize_4bit(weight.data, state).reshape(shape)
        elif hasattr(weight, "SCB"):
            found[name] = functional.int8_vectorwise_dequant(weight.data, weight.SCB).float()
    return found


def fp8_blocks(source: Path, folder: Path) -> Weights:
    """By the ops of transformers that quantize and dequantize as it saves and loads; its quantizer needs a GPU."""
    from transformers import FineGrainedFP8Config
    from transformers.integrations.finegrained_fp8 import Fp8Quantize

    settings = FineGrainedFP8Config(weight_block_size=(32, 32))
    quantize = Fp8Quantize(SimpleNamespace(quantization_config=settings))
    tensors, found = {}, {}
    for name, values in AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16).state_dict().items():
        if not name.endswith("_proj.weight"):
            tensors[name] = values
            continue
        stored = quantize.convert({name: values})
        tensors |= stored
        scale = stored[f"{name}_scale_inv"].repeat_interleave(32, 0).repeat_interleave(32, 1)
        found[name.removesuffix(".weight")] = stored[name].float() * scale
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = settings.to_dict()
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return found


def auto_round(source: Path, folder: Path, form: str, **scheme: Any) -> Weights:
    """By AutoRound, rounded to nearest; its own layer in f32 gives the weights, from an identity matrix."""
    from auto_round import AutoRound
    from auto_round_extension.torch import qlinear_torch, qlinear_torch_zp

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    quantizer = AutoRound(model, tokenizer=object(), iters=0, disable_opt_rtn=True, device_map="cpu", **scheme)
    quantizer.quantize_and_save(str(folder), format=form)
    tensors, found = load_file(next(folder.rglob("model.safetensors"))), {}
    config = json.loads(next(folder.rglob("config.json")).read_text(encoding="utf-8"))["quantization_config"]
    linear = (qlinear_torch if config["packing_format"] == "auto_round" else qlinear_torch_zp).QuantLinear
    for name in [key.removesuffix(".qweight") for key in tensors if key.endswith(".qweight")]:
        n, k = tensors[f"{name}.scales"].shape[1], tensors[f"{name}.qweight"].shape[0] * 32 // scheme["bits"]
        layer = linear(scheme["bits"], scheme["group_size"], k, n, bias=False)
        layer.load_state_dict(
            {part: tensors[f"{name}.{part}"] for part in ("qweight", "qzeros", "scales")}, strict=False
        )
        layer.scales, layer.dequant_dtype = layer.scales.float(), torch.int32
        layer.post_init()
        found[name] = layer(torch.eye(k)).T.float()
    return found


def hqq(source: Path, folder: Path, **settings: Any) -> Weights:
    """By HQQ's own layers in the place of the model's, as transformers 4 did it; dequantized in f32 by HQQ."""
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear, Quantizer
    from safetensors.torch import save_file

    config = BaseQuantizeConfig(**settings)
    model, found = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16), {}
    for name, module in list(model.named_modules()):
        if name.endswith("_proj"):
            layer: Any = HQQLinear(module, config, compute_dtype=torch.float16, device="cpu")
            model.set_submodule(name, layer)
            exact = {part: layer.meta[part].float() for part in ("zero", "scale")}
            found[name] = Quantizer.dequantize(layer.W_q, {**layer.meta, **exact, "compute_dtype": torch.float32})
    folder.mkdir()
    save_file({name: each.contiguous() for name, each in model.state_dict().items()}, folder / "model.safetensors")
    written = json.loads((source / "config.json").read_text(encoding="utf-8"))
    written["quantization_config"] = {"quant_method": "hqq", "quant_config": config, "skip_modules": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(written, indent=2), encoding="utf-8")
    return found


def torchao(source: Path, folder: Path, settings: str, **more: Any) -> Weights:
    """By transformers; dequantized by the tensor itself, or as the kernel of its 4 bits does."""
    from torchao import quantization
    from transformers import TorchAoConfig

    config = TorchAoConfig(getattr(quantization, settings)(version=2, **more), modules_to_not_convert=["lm_head"])
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, quantization_config=config, device_map="cpu"
    )
    model.save_pretrained(folder)
    weights = {name: module.weight for name, module in model.named_modules() if name.endswith("_proj")}
    in_f32 = _of_4_bits if settings.startswith("Int4") else lambda weight: weight.dequantize(torch.float32).detach()
    return {name: in_f32(weight) for name, weight in weights.items()}


def _of_4_bits(weight: Any) -> torch.Tensor:
    """Signed code * scale + zero, in f32: what MSLK's kernel multiplies by, which has no CPU's form."""
    codes = torch.stack([weight.qdata << 4 >> 4, weight.qdata >> 4], dim=-1).flatten(1)
    parts = (weight.scale, weight.zero_point)
    scale, zero = (part.float().T.repeat_interleave(weight.block_size[1], 1) for part in parts)
    return codes * scale + zero


def _group_of_32(*, symmetric: bool = True) -> dict[str, Any]:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(num_bits=4, type="int", symmetric=symmetric, strategy="group", group_size=32)
    return {"config_groups": {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}}


def _scheme(name: str) -> dict[str, Any]:
    return {"scheme": name, "targets": ["Linear"]}


KINDS: dict[str, Callable[[Path, Path], Weights]] = {
    "ct-w4a16": lambda source, folder: compressed_tensors(source, folder, **_group_of_32()),
    "ct-w4a16-asym": lambda source, folder: compressed_tensors(source, folder, **_group_of_32(symmetric=False)),
    "ct-w8a8": lambda source, folder: compressed_tensors(source, folder, **_scheme("W8A8")),
    "ct-fp8-dynamic": lambda source, folder: compressed_tensors(source, folder, **_scheme("FP8_DYNAMIC")),
    "ct-fp8-block": lambda source, folder: compressed_tensors(source, folder, **_scheme("FP8_BLOCK")),
    "ct-nvfp4a16": lambda source, folder: compressed_tensors(source, folder, **_scheme("NVFP4A16")),
    "ct-mxfp4a16": lambda source, folder: compressed_tensors(source, folder, **_scheme("MXFP4A16")),
    "bnb-nf4": lambda source, folder: bitsandbytes(source, folder, load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "bnb-nf4-double": lambda source, folder: bitsandbytes(
        source, folder, load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    ),
    "bnb-fp4": lambda source, folder: bitsandbytes(source, folder, load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    "bnb-int8": lambda source, folder: bitsandbytes(source, folder, load_in_8bit=True),
    "fp8-block": fp8_blocks,
    "auto-round": lambda source, folder: auto_round(source, folder, "auto_round", bits=2, group_size=32, sym=False),
    "auto-round-gptq": lambda source, folder: auto_round(
        source, folder, "auto_round:auto_gptq", bits=4, group_size=32, sym=True
    ),
    "hqq-4": lambda source, folder: hqq(source, folder, nbits=4, group_size=32, axis=1),
    "hqq-3": lambda source, folder: hqq(source, folder, nbits=3, group_size=64, axis=1),
    "hqq-2-axis0": lambda source, folder: hqq(source, folder, nbits=2, group_size=32, axis=0, view_as_float=True),
    "hqq-8": lambda source, folder: hqq(source, folder, nbits=8, group_size=32, axis=1),
    "torchao-int8": lambda source, folder: torchao(source, folder, "Int8WeightOnlyConfig"),
    "torchao-int4": lambda source, folder: torchao(source, folder, "Int4WeightOnlyConfig", group_size=32),
    "torchao-int8-dynamic": lambda source, folder: torchao(source, folder, "Int8DynamicActivationInt8WeightConfig"),
}


def make(name: str, target: Path) -> None:
    """The folder and what its tool makes of it."""
    with tempfile.TemporaryDirectory() as scratch:
        source, folder = base(Path(scratch) / "base"), Path(scratch) / name
        weights = KINDS[name](source, folder)
        shutil.rmtree(target / name, ignore_errors=True)
        (target / name).mkdir(parents=True)
        for kept in _KEPT:
            shutil.copyfile(next(folder.rglob(kept)), target / name / kept)
        rows = {module: values[::ROWS].numpy().astype(np.float32) for module, values in weights.items()}
        np.savez_compressed(target / f"{name}.npz", logits=_logits(source, weights), **rows)
    config = json.loads((target / name / "config.json").read_text(encoding="utf-8"))
    print(f"{name}: {config['quantization_config']['quant_method']}, {len(weights)} layers")


def _logits(source: Path, weights: Weights) -> Any:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    with torch.no_grad():
        for name, values in weights.items():
            model.get_submodule(name).weight.copy_(values)
        return model(torch.tensor(IDS)).logits.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"which ones; all if none is named: {', '.join(KINDS)}")
    parser.add_argument("--output", type=Path, default=ROOT / "models/checkpoints")
    arguments = parser.parse_args()
    for name in arguments.kinds or KINDS:
        make(name, arguments.output)


if __name__ == "__main__":
    main()
