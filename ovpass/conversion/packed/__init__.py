"""Hugging Face checkpoints with packed weights: one module for each tool that packs them."""

from __future__ import annotations

from ovpass.conversion.packed.aqlm import open_aqlm
from ovpass.conversion.packed.bitsandbytes import open_bitsandbytes
from ovpass.conversion.packed.compressed_tensors import open_compressed_tensors
from ovpass.conversion.packed.gptq import open_awq, open_gptq
from ovpass.conversion.packed.layer import Packing
from ovpass.conversion.packed.vptq import open_vptq

PACKINGS: dict[str, Packing] = {
    "gptq": open_gptq,
    "awq": open_awq,
    "compressed-tensors": open_compressed_tensors,
    "bitsandbytes": open_bitsandbytes,
    "aqlm": open_aqlm,
    "vptq": open_vptq,
}
"""By `quant_method` of quantization_config."""
