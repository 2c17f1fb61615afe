"""fp8 with blocks, as DeepSeek publishes it and transformers' FineGrainedFP8Config writes it.

`weight` [N, K] in f8e4m3 times `weight_scale_inv`, a number for each block of `weight_block_size`, 128 x 128 most
often, or for the whole tensor. (transformers/integrations/finegrained_fp8.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, along_rows, check_finite, float_weights
from ovpass.conversion.packed.tensors import Tensors
from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

_PARTS = ("weight", "weight_scale_inv", "activation_scale")


def open_fp8(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """`weight_block_size` and `activation_scheme`."""
    block = config.get("weight_block_size")
    if block is not None and not (isinstance(block, list) and len(block) == 2 and min(map(int, block)) > 0):
        raise ModelError("quantization_config: weight_block_size is not two sizes; download it again")

    def unpack(name: str) -> PackedLayer:
        weight, scales = tensors.get(f"{name}.weight"), tensors.floats(f"{name}.weight_scale_inv")
        if weight.dtype != "F8_E4M3":
            raise ValueError(f"weight is of type {weight.dtype}, not F8_E4M3")
        check_finite(tensors, f"{name}.weight_scale_inv", scales)
        codes = weight.stored()
        rows, columns = codes.shape if block is None else (int(block[0]), int(block[1]))
        grid = scales.reshape(1, 1) if scales.size == 1 else scales
        return PackedLayer(name, float_weights(codes, along_rows(grid, codes.shape, (rows, columns)), "f8e4m3"))

    scheme = str(config.get("activation_scheme", "dynamic"))
    note = f"the checkpoint asks for activations in float8, {scheme}"
    return Unpacker(("weight_scale_inv",), _PARTS, unpack, (note,))
