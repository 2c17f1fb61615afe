"""Hugging Face checkpoints with packed weights: one module for each tool that packs them."""

from __future__ import annotations

from ovpass.conversion.packed.aqlm import open_aqlm
from ovpass.conversion.packed.auto_round import open_auto_round
from ovpass.conversion.packed.bitsandbytes import open_bitsandbytes
from ovpass.conversion.packed.compressed_tensors import open_compressed_tensors
from ovpass.conversion.packed.fp8 import open_fp8
from ovpass.conversion.packed.gptq import open_awq, open_gptq
from ovpass.conversion.packed.hqq import open_hqq
from ovpass.conversion.packed.layer import Packing
from ovpass.conversion.packed.torchao import open_torchao
from ovpass.conversion.packed.vptq import open_vptq

PACKINGS: dict[str, Packing] = {
    "gptq": open_gptq,
    "awq": open_awq,
    "compressed-tensors": open_compressed_tensors,
    "bitsandbytes": open_bitsandbytes,
    "fp8": open_fp8,
    "auto-round": open_auto_round,
    "hqq": open_hqq,
    "torchao": open_torchao,
    "aqlm": open_aqlm,
    "vptq": open_vptq,
}
"""By `quant_method` of quantization_config."""
