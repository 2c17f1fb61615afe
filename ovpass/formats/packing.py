"""Unpack stored weights to NumPy arrays, and pack them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

Array = npt.NDArray[Any]

_INTEGERS = ("i4", "u4", "i8", "u8")
_OTHERS = ("u1", "u2", "u3", "u6", "i2")
_NIBBLES = ("i4", "u4", "nf4", "f4e2m1")
_BYTES = ("i8", "u8", "f8e4m3", "f8e5m2")
_UNSIGNED = {"i4": ("u4", 0x88, 8), "i8": ("u8", 0x80, 128)}
_SIGNED = {unsigned: (signed, mask) for signed, (unsigned, mask, _) in _UNSIGNED.items()}


def type_name(constant: ov.Node) -> str:
    """The element type by its IR name."""
    return str(constant.get_output_element_type(0).to_string())


def stored_bytes(constant: ov.Node) -> npt.NDArray[np.uint8]:
    """The Constant's bytes as they lie in memory: two codes a byte for 4-bit types, the low nibble first."""
    return np.frombuffer(np.ascontiguousarray(constant.data).tobytes(), dtype=np.uint8)


def from_bytes(content: Array, element_type: str, shape: Sequence[int]) -> ov.Node:
    """A Constant of these bytes."""
    # Not Type("i4"): that reads the NumPy name of a 32-bit integer.
    tensor = ov.Tensor(getattr(ov.Type, element_type), ov.Shape(list(shape)))
    np.asarray(tensor.data).reshape(-1).view(np.uint8)[:] = content.view(np.uint8)
    return op.constant(tensor)


def to_unsigned(constant: ov.Node, shape: Sequence[int]) -> tuple[ov.Node, int]:
    """Codes shifted from signed to unsigned, and the zero point that shifts them back."""
    unsigned, mask, zero_point = _UNSIGNED[type_name(constant)]
    return from_bytes(stored_bytes(constant) ^ np.uint8(mask), unsigned, shape), zero_point


def to_signed(constant: ov.Node, shape: Sequence[int]) -> ov.Node:
    """What `to_unsigned` was given."""
    signed, mask = _SIGNED[type_name(constant)]
    return from_bytes(stored_bytes(constant) ^ np.uint8(mask), signed, shape)


def values_of(constant: ov.Node) -> Array:
    """The values of a Constant in its shape; integers of 8 bits and less as int64."""
    kind, shape = type_name(constant), tuple(constant.get_output_shape(0))
    if kind in _OTHERS:
        return np.array(constant.get_data(dtype=np.int64))
    if kind not in _INTEGERS:
        return np.array(constant.data).reshape(shape)
    content = stored_bytes(constant)
    if kind in ("i8", "u8"):
        return content.view(np.int8 if kind == "i8" else np.uint8).astype(np.int64).reshape(shape)
    nibbles = np.stack([content & 0xF, content >> 4], axis=-1).reshape(-1)[: math.prod(shape)].astype(np.int64)
    return (((nibbles ^ 8) - 8) if kind == "i4" else nibbles).reshape(shape)


def constant_of(values: Array, element_type: str) -> ov.Node:
    """A Constant with these values; of floating-point types of 4 and 8 bits, with these codes."""
    flat = values.reshape(-1)
    if element_type in _BYTES:
        return from_bytes(flat.astype(np.int8 if element_type == "i8" else np.uint8), element_type, values.shape)
    if element_type in _NIBBLES:
        nibbles = (np.append(flat, 0) if flat.size % 2 else flat).astype(np.uint8) & np.uint8(0xF)
        return from_bytes(nibbles[0::2] | (nibbles[1::2] << np.uint8(4)), element_type, values.shape)
    narrow = {"dtype": getattr(ov.Type, element_type)} if element_type in _OTHERS else {}
    return op.constant(np.ascontiguousarray(values), **narrow)
