"""Build a Graph from an .xml, without OpenVINO and without weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from ovpass.errors import ModelError
from ovpass.ir.graph import Graph, Shape
from ovpass.ir.net import Layer, Net, Source
from ovpass.ir.validation import check_layers, whole

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

# The serializer's spelling of op types that differs from their own.
_TYPES = {"Const": "Constant", "ReLU": "Relu", "SoftMax": "Softmax", "PReLU": "PRelu"}
_Parameters = ParamSpec("_Parameters")
_Read = TypeVar("_Read")
_SHOWN = 60
_STORED = {
    "i8": "int8", "u8": "uint8", "i32": "int32", "i64": "int64", "f16": "float16", "f32": "float32", "f64": "float64",
}  # fmt: skip
_ELEMENT_TYPES = {"FP16": "f16", "FP32": "f32", "FP64": "f64", "BOOL": "boolean"}


def _of_a_layer(
    read: Callable[Concatenate[IrGraph, int, _Parameters], _Read],
) -> Callable[Concatenate[IrGraph, int, _Parameters], _Read]:
    """Attributes are read when they are asked for, by whoever asks: one that is missing is told of here."""

    @wraps(read)
    def reading(graph: IrGraph, index: int, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Read:
        try:
            return read(graph, index, *args, **kwargs)
        except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
            raise graph.damaged(index, error) from error

    return reading


class IrGraph(Graph):
    """Reads what is asked for from the records of the layers; `weights` is the .bin, for small Constants.

    Raises:
        KeyError, ValueError: where edges are missing or malformed.
        ModelError: when an attribute is asked for that is.
    """

    def __init__(self, net: Net, weights: Path) -> None:
        self._weights = weights
        self._layers, sources = _in_topological_order(net)
        super().__init__([_TYPES.get(layer.type, layer.type) for layer in self._layers], sources)

    @_of_a_layer
    def name(self, index: int) -> str:
        name = self._layers[index].name
        if name is None:
            raise KeyError("name")
        return name

    @_of_a_layer
    def shape(self, index: int, port: int = 0) -> Shape | None:
        dimensions = self._layers[index].outputs[port].dimensions
        return None if dimensions is None else tuple(map(int, dimensions))

    @_of_a_layer
    def element_type(self, index: int, port: int = 0) -> str:
        if self.types[index] == "Constant":
            return self._data(index)["element_type"]
        precision = self._layers[index].outputs[port].precision
        if precision is None:
            raise KeyError("precision")
        return _ELEMENT_TYPES.get(precision, precision.lower())

    @_of_a_layer
    def transposed(self, index: int, port: int) -> bool:
        return self._data(index).get("transpose_b" if port else "transpose_a", "false").lower() in ("true", "1")

    @_of_a_layer
    def levels(self, index: int) -> int:
        return int(self._data(index)["levels"])

    @_of_a_layer
    def variable(self, index: int) -> str:
        return self._data(index)["variable_id"]

    @_of_a_layer
    def integers(self, index: int) -> list[int]:
        data = self._data(index)
        with self._weights.open("rb") as stream:
            stream.seek(int(data["offset"]))
            content = stream.read(int(data["size"]))
        width = 4 if data["element_type"] == "i32" else 8
        return [int.from_bytes(content[i : i + width], "little", signed=True) for i in range(0, len(content), width)]

    @_of_a_layer
    def values(self, index: int) -> Array:
        import numpy as np  # noqa: PLC0415 - only models of one kind are asked for their weights

        data, kind = self._data(index), np.dtype(_STORED[self._data(index)["element_type"]])
        count = int(data["size"]) // kind.itemsize
        flat = np.fromfile(self._weights, kind, count, offset=int(data["offset"]))
        return flat.reshape(self.shape(index) or ())

    def precise(self, index: int) -> bool:
        return self._layers[index].precise

    def bodies(self, index: int) -> list[tuple[str, Graph]]:
        return [(name, IrGraph(body, self._weights)) for name, body in self._layers[index].bodies]

    def source(self, index: int, port: int) -> Source:
        """An output as edges of the .xml name it."""
        layer = self._layers[index]
        return layer.identity, str(layer.inputs + port)

    def damaged(self, index: int, error: Exception) -> ModelError:
        """What is said where a layer does not tell what it should."""
        name = self._layers[index].name or f"number {index}"
        return ModelError(
            f"{self._weights.with_suffix('.xml')}: is not a complete OpenVINO IR: layer {name}: {error!r}"
        )

    def constant_bytes(self) -> int:
        """How far into the .bin the Constants reach, bodies included."""
        ends = [0]
        for layer in self._layers:
            if layer.type == "Const":
                ends.append(int(layer.data["offset"]) + int(layer.data["size"]))
            ends += [IrGraph(body, self._weights).constant_bytes() for _, body in layer.bodies]
        return max(ends)

    def _data(self, index: int) -> Mapping[str, str]:
        return self._layers[index].data


def _in_topological_order(net: Net) -> tuple[list[Layer], list[list[tuple[int, int]]]]:
    """Layers so that each follows what it reads, and the `(layer, output port)` behind each input port."""
    position = {layer.identity: index for index, layer in enumerate(net.layers)}
    if len(position) < len(net.layers):
        raise ValueError("two layers have the same id")
    sources: list[list[tuple[int, int, int]]] = [[] for _ in net.layers]
    for edge in net.edges:
        for layer in (edge.producer, edge.consumer):
            if layer not in position:
                raise ValueError(f"an edge names layer {layer[:_SHOWN]!r}, which is not there")
        producer, consumer = position[edge.producer], position[edge.consumer]
        output = whole(edge.output, "a port of an edge") - net.layers[producer].inputs
        sources[consumer].append((whole(edge.input, "a port of an edge"), producer, output))
    check_layers(net.layers, sources)
    order = _sorted(sources)
    rank = {old: new for new, old in enumerate(order)}
    if any(rank[producer] >= rank[old] for old in order for _, producer, _ in sources[old]):
        raise ValueError("its edges form a cycle")
    inputs = [[(rank[producer], output) for _, producer, output in sorted(sources[old])] for old in order]
    return [net.layers[old] for old in order], inputs


def _sorted(sources: list[list[tuple[int, int, int]]]) -> list[int]:
    """Depth first without recursion: what a layer reads comes before it. Files are nearly always in order already."""
    if all(producer < index for index, entry in enumerate(sources) for _, producer, _ in entry):
        return list(range(len(sources)))
    order: list[int] = []
    state = [0] * len(sources)  # 0 new, 1 on the stack, 2 done
    for start in range(len(sources)):
        stack = [start]
        while stack:
            index = stack[-1]
            waiting = [producer for _, producer, _ in sources[index] if state[producer] == 0]
            if state[index] == 2:
                stack.pop()
            elif waiting and state[index] == 0:
                state[index] = 1
                stack.extend(waiting)
            else:
                state[index] = 2
                order.append(index)
                stack.pop()
    return order
