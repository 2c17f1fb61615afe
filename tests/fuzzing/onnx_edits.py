"""Edits of ONNX models: nodes, attributes and tensors, and the file as bytes."""

from __future__ import annotations

from random import Random
from typing import Any

import onnx

from tests.fuzzing.edits import edit_bytes

_TYPES = ("MatMul", "Add", "Cast", "Constant", "DequantizeLinear", "MatMulNBits", "Gather", "Other")
_SIZES = (0, 1, -1, 3, 64, 2**31, 2**62)


def edit_onnx(content: bytes, rng: Random) -> bytes:
    """The model with one edit or a few; one in five times of bytes instead."""
    if rng.random() < 0.2:
        return edit_bytes(content, rng)
    model = onnx.load_from_string(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice((_delete, _repeat, _reconnect, _retype, _attribute, _attribute, _tensor, _tensor, _input))(
            rng, model.graph
        )
    return bytes(model.SerializeToString())


def _delete(rng: Random, graph: Any) -> None:
    items = rng.choice((graph.node, graph.node, graph.initializer, graph.input, graph.output))
    if items:
        del items[rng.randrange(len(items))]


def _repeat(rng: Random, graph: Any) -> None:
    items = rng.choice((graph.node, graph.initializer, graph.input))
    if items:
        items.append(rng.choice(items))


def _reconnect(rng: Random, graph: Any) -> None:
    node, other = rng.choice(graph.node), rng.choice(graph.node)
    names = rng.choice((node.input, node.output))
    if names and other.output:
        names[rng.randrange(len(names))] = rng.choice((*other.input, *other.output, "", "other"))


def _retype(rng: Random, graph: Any) -> None:
    node = rng.choice(graph.node)
    if rng.random() < 0.7:
        node.op_type = rng.choice(_TYPES)
    else:
        node.domain = rng.choice(("", "com.microsoft", "other"))


def _attribute(rng: Random, graph: Any) -> None:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if not attributes:
        return
    attribute = rng.choice(attributes)
    match rng.randrange(4):
        case 0:
            attribute.name = "other"
        case 1:
            attribute.type = rng.randrange(1, 9)
        case _:
            attribute.i = rng.choice(_SIZES)


def _tensor(rng: Random, graph: Any) -> None:
    tensor = rng.choice(graph.initializer)
    match rng.randrange(4):
        case 0:
            tensor.data_type = rng.randrange(24)
        case 1:
            tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2]
        case 2 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_SIZES)
        case _:
            tensor.dims.append(rng.choice(_SIZES))


def _input(rng: Random, graph: Any) -> None:
    if graph.input:
        typed = rng.choice(graph.input).type.tensor_type
        if rng.random() < 0.5 and typed.shape.dim:
            rng.choice(typed.shape.dim).dim_value = rng.choice(_SIZES)
        else:
            typed.elem_type = rng.randrange(20)
