"""Floating point in 4 and 8 bits: value of the code * scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.formats.base import ChainForm, EncodedWeights, Encoding, Format
from ovpass.formats.chain import FLOATS, ConstantInput, WeightChain
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import openvino as ov

    from ovpass.formats import float_types, scales, writing
    from ovpass.ir.graph import Array
else:
    float_types = lazy_module("ovpass.formats.float_types")
    scales, writing = lazy_module("ovpass.formats.scales"), lazy_module("ovpass.formats.writing")

NAME = "float"
# The largest of f8e5m2, 57344, would make scales of usual weights subnormal in f16, and its precision is the same
# everywhere.
_REACH = {"nf4": 1.0, "f4e2m1": 6.0, "f8e4m3": 448.0, "f8e5m2": 448.0}


def recognize(given: ConstantInput) -> WeightChain | None:
    """Codes in a floating-point type that no table is looked up by."""
    found = given.element_type in FLOATS and "Gather" not in given.op_types
    return given.chain(NAME) if found else None


def encode(weights: Array, encoding: Encoding) -> EncodedWeights:
    """Weights rounded to the nearest value of the type, half to even, with a scale of max|w| / its largest value.

    Raises:
        ValueError: for another element type, and for a zero point.
    """
    if encoding.element_type not in _REACH or not encoding.symmetric:
        raise ValueError(f"{encoding.element_type}: floating-point weights are symmetric {', '.join(_REACH)}")
    groups = scales.in_groups(weights, encoding.group_size)
    reach = _REACH[encoding.element_type]
    scale, tensor_scale = scales.stored_scales(abs(groups).max(axis=-1) / reach, encoding.scale_type)
    values = groups / scales.whole(scale, tensor_scale)[..., None]
    codes = float_types.nearest_codes(values, encoding.element_type).reshape(weights.shape)
    return EncodedWeights(encoding, codes, scale, tensor_scale=tensor_scale)


def decode(encoded: EncodedWeights) -> Array:
    """The weights in f32."""
    values = float_types.values_by_code(encoded.encoding.element_type)
    return scales.scaled(values[encoded.codes], encoded)


def write(encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """Convert, Multiply, [Reshape,] [Convert]. Plugins compute in f32 or f16, which does not hold nf4 exactly."""
    return writing.write_converted(encoded, form)


FLOAT = Format(recognize, encode, decode, write, affine=True)
