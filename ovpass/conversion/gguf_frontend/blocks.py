"""The codes, scales and minima of GGML's blocks.

A weight is code * scale - minimum, with a scale for every 16 or 32 elements of K. Values are gguf's own
(gguf/quants.py); here are only the scales, from which the codes follow. (llama.cpp, ggml-common.h)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import scale_type
from ovpass.formats import FORMATS, codebook, float_types, floating, integer
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.extras import extra_module
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

Scales = tuple["Array", "Array | None"]


@dataclass(frozen=True)
class Block:
    """A type of GGML: the element type that holds its codes, and how scales and minima [blocks, groups] are read."""

    element_type: str
    group: int
    read: Callable[[Array], Scales]


@dataclass(frozen=True)
class BlockWeights:
    """Weights [..., N, K]: (code - zero point) * scale; `zero_point` is in f32 and seldom whole, None for none."""

    encoded: EncodedWeights
    zero_point: Array | None = None

    def values(self) -> Array:
        """The weights in f32."""
        encoded = replace(self.encoded, zero_point=self.zero_point)
        return FORMATS[encoded.encoding.format].decode(encoded)


def read_blocks(tensor: Any, rows: slice | Array = slice(None)) -> BlockWeights | None:
    """Rows of a tensor of gguf's reader as they are stored, exactly; None for a type that has no such form."""
    if tensor.tensor_type.name not in BLOCKS:
        return None
    block, data = BLOCKS[tensor.tensor_type.name], tensor.data[..., rows, :]
    values = extra_module("gguf.quants", "gguf", "reading GGUF files").dequantize(data, tensor.tensor_type)
    shape = values.shape
    scale, minimum = read_scales(data, tensor.tensor_type)
    grouped = (*shape[:-1], shape[-1] // block.group)
    scale, steps = scale.reshape(grouped), values.reshape(*grouped, block.group)
    if minimum is None:
        return BlockWeights(_encoded(block, _divided(steps, scale[..., None]).reshape(shape), scale))
    minimum = minimum.reshape(grouped)
    # A group without a scale is -minimum throughout: (0 - 1) * minimum.
    flat = scale == 0
    steps = np.where(flat[..., None], 0, _divided(steps + minimum[..., None], scale[..., None]))
    points, scale = np.where(flat, 1, _divided(minimum, scale)), np.where(flat, minimum, scale)
    return BlockWeights(_encoded(block, steps.reshape(shape), scale), points)


def read_scales(data: Array, kind: Any) -> Scales:
    """The scales and minima [blocks, groups] in the bytes of a type of BLOCKS, in f32; no minima for some types."""
    size = extra_module("gguf", "gguf", "reading GGUF files").GGML_QUANT_SIZES[kind][1]
    with np.errstate(all="ignore"):  # damaged files hold what is not finite
        return BLOCKS[kind.name].read(np.ascontiguousarray(data).reshape(-1, size))


def _divided(values: Array, scale: Array) -> Array:
    return np.divide(values, scale, out=np.zeros_like(values), where=scale != 0)


def _encoded(block: Block, steps: Array, scale: Array) -> EncodedWeights:
    kind = block.element_type
    if kind == "codebook":
        encoding = Encoding(codebook.NAME, "u4", block.group, True, scale_type(scale), _IQ4, "f16")
        return EncodedWeights(encoding, float_types.nearest(steps, np.array(_IQ4, np.float32)), scale)
    if kind == "f4e2m1":
        return EncodedWeights(
            Encoding(floating.NAME, kind, block.group, scale_type="f8e8m0"),
            float_types.nearest_codes(steps, kind),
            scale,
        )
    symmetric = kind.startswith("i")
    encoding = Encoding(integer.NAME, kind, block.group, symmetric, scale_type(scale))
    return EncodedWeights(encoding, np.rint(steps).astype(np.int8 if symmetric else np.uint8), scale)


def _halves(blocks: Array, start: int, count: int = 1) -> Array:
    return np.ascontiguousarray(blocks[:, start : start + 2 * count]).view(np.float16).astype(np.float32)


def _scale_alone(blocks: Array) -> Scales:
    return _halves(blocks, 0), None


def _scale_and_minimum(blocks: Array) -> Scales:
    return _halves(blocks, 0), -_halves(blocks, 2)


def _q2_k(blocks: Array) -> Scales:
    nibbles = blocks[:, :16]
    return (nibbles & 15) * _halves(blocks, 80), (nibbles >> 4) * _halves(blocks, 82)


def _q3_k(blocks: Array) -> Scales:
    """Sixteen scales of 6 bits: four low bits of each in eight bytes, two high bits in four."""
    low, high = blocks[:, 96:104], blocks[:, 104:108]
    lows = np.concatenate([low & 15, low >> 4], axis=1)
    highs = np.concatenate([(high >> shift) & 3 for shift in (0, 2, 4, 6)], axis=1)
    return ((lows | (highs << 4)).astype(np.int8) - 32) * _halves(blocks, 108), None


def _k_4_5(blocks: Array) -> Scales:
    """Eight scales and minima of 6 bits in twelve bytes."""
    packed = blocks[:, 4:16]
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (third & 15) | ((first >> 6) << 4)], axis=1)
    minima = np.concatenate([second & 63, (third >> 4) | ((second >> 6) << 4)], axis=1)
    return scales * _halves(blocks, 0), minima * _halves(blocks, 2)


def _q6_k(blocks: Array) -> Scales:
    return np.ascontiguousarray(blocks[:, 192:208]).view(np.int8) * _halves(blocks, 208), None


def _power_of_two(blocks: Array) -> Scales:
    return float_types.powers_of_two(blocks[:, :1]), None


_IQ4 = tuple(map(float, (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)))
BLOCKS = {
    "Q4_0": Block("i4", 32, _scale_alone),
    "Q4_1": Block("u4", 32, _scale_and_minimum),
    "Q5_0": Block("i8", 32, _scale_alone),
    "Q5_1": Block("u8", 32, _scale_and_minimum),
    "Q8_0": Block("i8", 32, _scale_alone),
    "Q2_K": Block("u4", 16, _q2_k),
    "Q3_K": Block("i4", 16, _q3_k),
    "Q4_K": Block("u4", 32, _k_4_5),
    "Q5_K": Block("u8", 32, _k_4_5),
    "Q6_K": Block("i8", 16, _q6_k),
    "IQ4_NL": Block("codebook", 32, _scale_alone),
    "MXFP4": Block("f4e2m1", 32, _power_of_two),
}
