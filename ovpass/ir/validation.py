"""What must hold for the graph of an .xml, checked once when it is read.

Whoever walks the graph afterwards can rely on ports, edges and constants. What OpenVINO refuses besides, such as shapes
that do not follow from each other, is not checked here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ovpass.ir.net import Layer

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


def check_layers(layers: Sequence[Layer], sources: Sequence[Edges]) -> None:
    """Make sure that layers have what their types need, and that all ports are connected.

    Raises:
        ValueError: naming the layer and what is wrong with it.
    """
    for layer, edges in zip(layers, sources, strict=True):
        if layer.name is None:
            raise ValueError(f"layer number {layer.identity} has no name")
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


def _check_constant(layer: Layer) -> None:
    data = layer.data
    missing = [name for name in ("element_type", "shape", "offset", "size") if name not in data]
    if missing:
        raise ValueError(f"layer {layer.name}: its constant has no {', '.join(missing)}")
    shape, offset, size = _whole(data["shape"]), _whole(data["offset"]), _whole(data["size"])
    if shape is None or offset is None or size is None or len(offset) != 1 or len(size) != 1:
        raise ValueError(f"layer {layer.name}: shape, offset or size of its constant is not a whole number")
    bits = _BITS.get(data["element_type"])
    if not layer.outputs or (bits is not None and size[0] != -(-math.prod(shape) * bits // 8)):
        raise ValueError(f"layer {layer.name}: {size[0]} bytes are not {data['element_type']}[{data['shape']}]")


def _whole(text: str) -> list[int] | None:
    """Numbers with commas between; none for what is no list of whole numbers from 0 up."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    whole = all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts)
    return [int(part) for part in parts] if whole else None
