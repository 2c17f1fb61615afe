"""What must hold for the graph of an .xml, checked once when it is read.

Whoever walks the graph afterwards can rely on ports, edges and constants. What OpenVINO refuses besides, such as shapes
that do not follow from each other, is not checked here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ovpass.ir.net import Layer, Port

Edges = Sequence[tuple[int, int, int]]
"""Of one layer: its input port, the index of the layer that it reads, and that layer's output port."""

_LEAST_INPUTS = {
    "MatMul": 2, "Multiply": 2, "Add": 2, "Subtract": 2, "Divide": 2, "Power": 2, "Reshape": 2, "Transpose": 2,
    "Unsqueeze": 2, "Squeeze": 1, "Gather": 3, "Convert": 1, "FakeQuantize": 5, "Result": 1, "Assign": 1,
    "ScaledDotProductAttention": 3, "Softmax": 1, "SoftMax": 1, "ReduceMax": 2, "ReduceMin": 2, "ReduceMean": 2,
    "Round": 1, "Clamp": 1, "Relu": 1, "ReLU": 1, "Select": 3, "Maximum": 2, "Minimum": 2, "MVN": 1,
}  # fmt: skip
_BITS = {
    "f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "i4": 4, "i2": 2,
    "u64": 64, "u32": 32, "u16": 16, "u8": 8, "u6": 6, "u4": 4, "u3": 3, "u2": 2, "u1": 1, "nf4": 4, "f4e2m1": 4,
    "f8e4m3": 8, "f8e5m2": 8, "f8e8m0": 8, "boolean": 8,
}  # fmt: skip
ELEMENT_TYPES = frozenset({*_BITS, "string"})
_PRECISIONS = ELEMENT_TYPES | {"fp16", "fp32", "fp64", "bool", "bin", "dynamic", "undefined", "unspecified"}
_SHOWN = 60
_DIGITS = 19
"""Of the largest number that an IR holds, 2**63 - 1."""


def check_layers(layers: Sequence[Layer], sources: Sequence[Edges]) -> None:
    """Make sure that layers have what their types need, and that all ports are connected.

    Raises:
        ValueError: naming the layer and what is wrong with it.
    """
    checked: set[tuple[Port, ...]] = set()
    for layer, edges in zip(layers, sources, strict=True):
        if layer.name is None:
            raise ValueError(f"layer number {layer.identity} has no name")
        whole(layer.identity, f"layer {layer.name}: its id")
        if layer.outputs not in checked:
            _check_outputs(layer)
            checked.add(layer.outputs)
        if [port for port, _, _ in sorted(edges)] != list(range(layer.inputs)):
            raise ValueError(f"layer {layer.name}: its {layer.inputs} input ports are not connected once each")
        if layer.inputs < _LEAST_INPUTS.get(layer.type, 0):
            needed = _LEAST_INPUTS[layer.type]
            raise ValueError(f"layer {layer.name}: a {layer.type} needs {needed} inputs and has {layer.inputs}")
        for _, producer, output in edges:
            if not 0 <= output < len(layers[producer].outputs):
                raise ValueError(f"layer {layer.name} reads an output that {layers[producer].name} does not have")
        if layer.type == "Const":
            _check_constant(layer)
        elif layer.type == "Constant":  # OpenVINO reads it and crashes later
            raise ValueError(f"layer {layer.name} has type Constant, which an IR spells Const")


def whole(text: str, what: str) -> int:
    """A whole number from 0 up: OpenVINO takes none that Python's `int` takes besides.

    Raises:
        ValueError: for anything else, with `what` it is.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError(f"{what} is {text[:_SHOWN]!r}, which is not a whole number")
    return int(text)


def _check_outputs(layer: Layer) -> None:
    for port in layer.outputs:
        if port.precision is None or port.precision.lower() not in _PRECISIONS:
            raise ValueError(f"layer {layer.name}: an output has the element type {port.precision!r:.60}")
        for dimension in port.dimensions or ():
            if dimension != "-1":
                whole(dimension, f"layer {layer.name}: a dimension")


def _check_constant(layer: Layer) -> None:
    data = layer.data
    missing = [name for name in ("element_type", "shape", "offset", "size") if name not in data]
    if missing:
        raise ValueError(f"layer {layer.name}: its constant has no {', '.join(missing)}")
    name, element_type = f"layer {layer.name}", data["element_type"]
    whole(data["offset"], f"{name}: its offset")
    size = whole(data["size"], f"{name}: its size")
    shape = [part.strip() for part in data["shape"].split(",") if part.strip()]
    elements = math.prod(whole(part, f"{name}: a dimension") for part in shape)
    if element_type not in ELEMENT_TYPES:
        raise ValueError(f"{name} has the element type {element_type!r:.60}, which ovpass does not know")
    bits = _BITS.get(element_type)
    if bits is not None and size != -(-elements * bits // 8):
        raise ValueError(f"{name}: {size} bytes are not {element_type}[{','.join(shape)}]")
    if len(layer.outputs) != 1 or layer.outputs[0].dimensions != tuple(shape):
        raise ValueError(f"{name}: its output has not the shape of the constant, [{','.join(shape)}]")
