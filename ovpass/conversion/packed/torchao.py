"""torchao's integers, as transformers saves them in safetensors.

A tensor subclass is taken apart: `_weight_qdata`, `_weight_scale` and `_weight_zero_point`, with the class and its
`block_size` in the file's metadata. `Int8Tensor` [N, K] has a scale a row or group, `IntxUnpackedToInt8Tensor` codes of
fewer bits in i8. (torchao/prototype/safetensors)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite, integer_weights
from ovpass.conversion.packed.tensors import Tensors
from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

_PARTS = ("_weight_qdata", "_weight_scale", "_weight_zero_point")
_DYNAMIC = "Int8DynamicActivation"


def open_torchao(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """Weights in i8, weight-only or with activations in i8."""
    asked_for = config.get("quant_type")
    kind = str(asked_for["default"]["_type"] if isinstance(asked_for, Mapping) else asked_for)

    def unpack(name: str) -> PackedLayer:
        data = tensors.get(f"{name}._weight_qdata")
        if data.dtype != "I8" or len(data.shape) != 2:
            raise ModelError(
                f"{tensors.folder}: {name} is {kind} with codes of type {data.dtype}, which is packed for a GPU "
                "kernel; only i8 is known, start from the unquantized model"
            )
        scales = tensors.floats(f"{name}._weight_scale").reshape(data.shape[0], -1)
        check_finite(tensors, f"{name}._weight_scale", scales)
        points = np.zeros(scales.shape, np.int16)
        if f"{name}._weight_zero_point" in tensors:
            stored = tensors.stored(f"{name}._weight_zero_point").astype(np.int16)
            points = np.broadcast_to(stored.reshape(data.shape[0], -1), scales.shape)
        return PackedLayer(name, integer_weights(data.stored().astype(np.int16) + 128, points + 128, scales, 8))

    asked = kind.startswith(_DYNAMIC)
    notes = ("the checkpoint asks for activations in int8, dynamic, per token",) if asked else ()
    return Unpacker(("_weight_qdata",), _PARTS, unpack, notes, -1 if asked else None)
