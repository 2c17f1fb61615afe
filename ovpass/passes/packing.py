"""Unpack stored weights to NumPy arrays, and pack them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op
from openvino.passes import ConstantFolding, Manager

Array = npt.NDArray[Any]

_INTEGERS = ("i4", "u4", "i8", "u8")
_UNSIGNED = {"i4": ("u4", 0x88, 8), "i8": ("u8", 0x80, 128)}
_SIGNED = {unsigned: (signed, mask) for signed, (unsigned, mask, _) in _UNSIGNED.items()}


def type_name(constant: ov.Node) -> str:
    """The element type by its IR name."""
    return str(constant.get_output_element_type(0).to_string())


def stored_bytes(constant: ov.Node) -> npt.NDArray[np.uint8]:
    """The Constant's bytes as they lie in memory: two codes a byte for 4-bit types, the low nibble first."""
    return np.frombuffer(np.ascontiguousarray(constant.data).tobytes(), dtype=np.uint8)


def from_bytes(content: npt.NDArray[np.uint8], element_type: str, shape: Sequence[int]) -> ov.Node:
    """A Constant of these bytes."""
    # Not Type("i4"): that reads the NumPy name of a 32-bit integer.
    tensor = ov.Tensor(getattr(ov.Type, element_type), ov.Shape(list(shape)))
    np.asarray(tensor.data).reshape(-1).view(np.uint8)[:] = content
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
    """The values of a Constant in its shape; 4- and 8-bit integers as int64."""
    kind, shape = type_name(constant), tuple(constant.get_output_shape(0))
    if kind not in _INTEGERS:
        return np.array(constant.data).reshape(shape)
    content = stored_bytes(constant)
    if kind in ("i8", "u8"):
        return content.view(np.int8 if kind == "i8" else np.uint8).astype(np.int64).reshape(shape)
    nibbles = np.stack([content & 0xF, content >> 4], axis=-1).reshape(-1)[: math.prod(shape)].astype(np.int64)
    return (((nibbles ^ 8) - 8) if kind == "i4" else nibbles).reshape(shape)


def constant_of(values: Array, element_type: str) -> ov.Node:
    """A Constant with these values."""
    if element_type not in _INTEGERS:
        return op.constant(np.ascontiguousarray(values))
    flat = values.reshape(-1)
    if element_type in ("i8", "u8"):
        signed = np.int8 if element_type == "i8" else np.uint8
        return from_bytes(flat.astype(signed).view(np.uint8), element_type, values.shape)
    nibbles = (np.append(flat, 0) if flat.size % 2 else flat).astype(np.uint8) & np.uint8(0xF)
    packed = nibbles[0::2] | (nibbles[1::2] << np.uint8(4))
    return from_bytes(packed.astype(np.uint8), element_type, values.shape)


def settle_shapes(output: ov.Output) -> None:
    """Give the Reshapes of a constant expression the shapes that they are known to make, as Constants.

    OpenVINO's ONNX frontend takes the shape of blocked weights from the activation: the weights then hang on the inputs
    of the model, though nothing about them is dynamic.
    """
    node = output.get_node()
    sources = node.input_values()
    if node.get_type_name() == "Reshape":
        shape, sources = node.get_output_partial_shape(0), sources[:1]
        if shape.is_static and node.input_value(1).get_node().get_type_name() != "Constant":
            known = op.constant(np.array(node.get_output_shape(0), dtype=np.int64))
            node.input(1).replace_source_output(known.output(0))
    for source in sources:
        settle_shapes(source)


def evaluate(output: ov.Output) -> Array:
    """The value of a constant expression, in f32 products as the plugins use it; its shapes are settled."""
    settle_shapes(output)
    folded = ov.Model([output], []).clone()
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(folded)
    node = folded.get_results()[0].input_value(0).get_node()
    if node.get_type_name() == "Constant":
        return values_of(node)
    # Codebook look-ups with 4-bit codes do not fold; a device computes them.
    compiled = ov.Core().compile_model(ov.Model([output], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([])[0])
