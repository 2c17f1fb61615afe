"""Integers: (code - zero point) * scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.formats.base import ChainForm, EncodedWeights, Encoding, Format
from ovpass.formats.chain import INTEGERS, ConstantInput, WeightChain
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from ovpass.formats import scales, writing
    from ovpass.ir.graph import Array
else:
    np = lazy_module("numpy")
    scales, writing = lazy_module("ovpass.formats.scales"), lazy_module("ovpass.formats.writing")

NAME = "integer"


def recognize(given: ConstantInput) -> WeightChain | None:
    """Integer codes that no table is looked up by."""
    found = given.element_type in INTEGERS and "Gather" not in given.op_types
    return given.chain(NAME) if found else None


def encode(weights: Array, encoding: Encoding) -> EncodedWeights:
    """Weights rounded to the nearest code, half to even.

    Symmetric codes reach from -q to q with a scale of max|w| / q, as NNCF's; unsigned ones lie around one zero point in
    the middle. Asymmetric ones reach from the least weight to the largest, 0 included, with a zero point a group.

    Raises:
        ValueError: for another element type, and for one that holds no symmetric codes.
    """
    low, high = code_range(encoding.element_type)
    groups = scales.in_groups(weights, encoding.group_size)
    if encoding.symmetric:
        reach, middle = (high - low) // 2, (high + low + 1) // 2
        if reach == 0:
            raise ValueError(f"{encoding.element_type} holds no symmetric codes; encode them as asymmetric")
        scale, tensor_scale = scales.stored_scales(abs(groups).max(axis=-1) / reach, encoding.scale_type)
        zero_point = np.array(middle) if middle else None
        shift, low, high = middle, middle - reach, middle + reach
    else:
        least, most = groups.min(axis=-1).clip(max=0), groups.max(axis=-1).clip(min=0)
        scale, tensor_scale = scales.stored_scales((most - least) / (high - low), encoding.scale_type)
        zero_point = (low - least / scales.whole(scale, tensor_scale)).round().clip(low, high).astype("int16")
        shift = zero_point[..., None]
    steps = groups / scales.whole(scale, tensor_scale)[..., None]
    codes = (steps.round() + shift).clip(low, high).astype("int16").reshape(weights.shape)
    return EncodedWeights(encoding, codes, scale, zero_point, tensor_scale)


def decode(encoded: EncodedWeights) -> Array:
    """The weights in f32."""
    return scales.scaled(encoded.codes, encoded)


def write(encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """Convert, [Subtract,] [Multiply,] [Reshape,] [Convert]."""
    return writing.write_converted(encoded, form)


def code_range(element_type: str) -> tuple[int, int]:
    """The least and the largest code.

    Raises:
        ValueError: for no integer type of weights.
    """
    if element_type not in INTEGERS:
        raise ValueError(f"{element_type} is not an integer weight type")
    bits = int(element_type[1:])
    return (0, 2**bits - 1) if element_type.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def in_8_bits(weights: Array) -> EncodedWeights | None:
    """Integer weights [N, K] (i32) as 8-bit codes without a scale, exactly; None where their range is too wide.

    i8 without a zero point where they fit, else u8 with the same one for all channels, else with one for each.
    """
    if int(weights.min()) >= -128 and int(weights.max()) <= 127:
        return EncodedWeights(Encoding(NAME, "i8"), weights.astype("int8"), None)
    for axis in (None, 1):
        zero_point = (-weights.min(axis=axis, keepdims=True)).clip(0, 255)
        codes = weights + zero_point
        if codes.min() >= 0 and codes.max() <= 255:
            # The GPU plugin fuses Q, K and V only where each channel has a zero point of its own (measured).
            each = zero_point.astype("uint8").repeat(len(weights) // zero_point.size, axis=0)
            shifted = bool(each.any())
            encoding = Encoding(NAME, "u8", symmetric=not shifted)
            return EncodedWeights(encoding, codes.astype("uint8"), None, each if shifted else None)
    return None


INTEGER = Format(recognize, encode, decode, write, affine=True)
