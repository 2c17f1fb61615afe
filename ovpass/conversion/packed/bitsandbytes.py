"""bitsandbytes: nf4, fp4 and LLM.int8().

4 bits: `weight` holds two codes a byte, the first in the high bits, of the weights [N, K] in a row. They index
`weight.quant_map`, and each block of 64 (or another size) has a scale in `weight.absmax`. With double quantization
those are codes themselves: absmax = nested_quant_map[code] * nested_absmax + nested_offset. A JSON text in
`weight.quant_state.bitsandbytes__nf4` has sizes and shape. Blocks run on across rows, so a scale is stored for every
group of K that no block's border cuts.

8 bits: `weight` [N, K] in i8 times `SCB` [N] / 127. (bitsandbytes/functional.py, QuantState)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite, integer_weights, of_blocks, scale_type
from ovpass.conversion.packed.tensors import Tensors
from ovpass.errors import ModelError
from ovpass.formats import codebook, floating
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.lazy import lazy_module
from ovpass.support.structured_text import decode, parse_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

    from ovpass.formats import float_types
else:
    np, float_types = lazy_module("numpy"), lazy_module("ovpass.formats.float_types")

_STATE = "weight.quant_state.bitsandbytes__"
_KINDS = ("nf4", "fp4")
_PARTS = (
    "weight", "weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map", "SCB",
    "weight_format", *(f"{_STATE}{kind}" for kind in _KINDS),
)  # fmt: skip
_NO_TILES = 0


def open_bitsandbytes(_: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """The tensors of each layer tell all."""

    def unpack(name: str) -> PackedLayer:
        return _read_8_bits(tensors, name) if f"{name}.SCB" in tensors else _read_4_bits(tensors, name)

    return Unpacker(("weight.absmax", "SCB"), _PARTS, unpack)


def _read_8_bits(tensors: Tensors, name: str) -> PackedLayer:
    tiles = int(tensors.stored(f"{name}.weight_format")) if f"{name}.weight_format" in tensors else _NO_TILES
    if tiles != _NO_TILES:
        raise ModelError(f"{tensors.folder}: {name}.weight is in tiles of a GPU; save it with a newer bitsandbytes")
    weight = tensors.get(f"{name}.weight")
    if weight.dtype != "I8":
        raise ValueError(f"weight is of type {weight.dtype}, not I8")
    scales = tensors.floats(f"{name}.SCB")[:, None] / np.float32(127)
    check_finite(tensors, f"{name}.SCB", scales)
    codes = weight.stored().astype(np.int16) + 128
    return PackedLayer(name, integer_weights(codes, np.full(scales.shape, 128), scales, 8))


def _read_4_bits(tensors: Tensors, name: str) -> PackedLayer:
    state = _state(tensors, name)
    (n, k), block = state["shape"], int(state["blocksize"])
    packed = tensors.get(f"{name}.weight").content()
    codes = np.stack([packed >> 4, packed & 0xF], axis=-1).reshape(-1)[: n * k].reshape(n, k)
    scales = _block_scales(tensors, name, state)
    whole = of_blocks(scales, (n, k), block)
    return PackedLayer(name, _looked_up(codes, whole, tensors.floats(f"{name}.weight.quant_map")))


def _looked_up(codes: Array, scales: Array, table: Array) -> EncodedWeights:
    """OpenVINO's nf4 where the table is that; else the table itself, ascending."""
    group, stored = codes.shape[1] // scales.shape[1], scale_type(scales)
    if np.array_equal(table, float_types.values_by_code("nf4")):
        return EncodedWeights(Encoding(floating.NAME, "nf4", group, scale_type=stored), codes, scales)
    ascending, places = np.unique(table, return_inverse=True)
    values = tuple(float(value) for value in ascending)
    encoding = Encoding(codebook.NAME, "u4", group, True, stored, values, "f32")
    return EncodedWeights(encoding, places.astype(np.uint8)[codes], scales)


def _block_scales(tensors: Tensors, name: str, state: Mapping[str, Any]) -> Array:
    stored = tensors.get(f"{name}.weight.absmax")
    scales = stored.floats()
    if stored.dtype == "U8":
        table, nested = (tensors.floats(f"{name}.weight.nested_{part}") for part in ("quant_map", "absmax"))
        of_each = nested[np.arange(len(scales)) // int(state["nested_blocksize"])]
        scales = table[stored.stored()] * of_each + np.float32(state["nested_offset"])
    check_finite(tensors, f"{name}.weight.absmax", scales)
    return scales.astype(np.float32)


def _state(tensors: Tensors, name: str) -> Mapping[str, Any]:
    found = next((kind for kind in _KINDS if f"{name}.{_STATE}{kind}" in tensors), None)
    if found is None:
        raise ModelError(f"{tensors.folder}: lacks tensor {name}.{_STATE}nf4; download it again")
    state = parse_json(decode(tensors.get(f"{name}.{_STATE}{found}").content().tobytes()))
    if not isinstance(state, dict) or len(state["shape"]) != 2:
        raise ValueError("its quant_state is not that of a matrix")
    return state
