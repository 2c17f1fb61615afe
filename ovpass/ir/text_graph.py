"""Build a Graph from an .xml, without OpenVINO and without weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from xml.etree.ElementTree import Element

from ovpass.errors import ModelError
from ovpass.ir.graph import Graph, Shape

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

# The serializer's spelling of op types that differs from their own.
_TYPES = {"Const": "Constant", "ReLU": "Relu", "SoftMax": "Softmax", "PReLU": "PRelu"}
_BODIES = ("then_body", "else_body", "body")
_PRECISE = ("precise", "DisablePrecisionConversion")
_Parameters = ParamSpec("_Parameters")
_Read = TypeVar("_Read")
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
    """Reads what is asked for from the elements of the layers; `weights` is the .bin, for small Constants.

    Raises:
        KeyError, ValueError: where edges are missing or malformed.
        ModelError: when an attribute is asked for that is.
    """

    def __init__(self, net: Element, weights: Path) -> None:
        self._weights = weights
        layers, edges = net.find("layers"), net.find("edges")
        if layers is None or edges is None:
            raise ValueError("it has no layers or no edges")
        self._layers, sources = _in_topological_order(list(layers), list(edges))
        types = [layer.attrib["type"] for layer in self._layers]
        super().__init__([_TYPES.get(kind, kind) for kind in types], sources)

    @_of_a_layer
    def name(self, index: int) -> str:
        return self._layers[index].attrib["name"]

    @_of_a_layer
    def shape(self, index: int, port: int = 0) -> Shape | None:
        output = self._output(index, port)
        if output.get("rank") == "dynamic":
            return None
        return tuple(int(dimension.text or "") for dimension in output.findall("dim"))

    @_of_a_layer
    def element_type(self, index: int, port: int = 0) -> str:
        if self.types[index] == "Constant":
            return self._data(index)["element_type"]
        precision = self._output(index, port).attrib["precision"]
        return _ELEMENT_TYPES.get(precision, precision.lower())

    @_of_a_layer
    def transposed(self, index: int, port: int) -> bool:
        return self._data(index).get("transpose_b" if port else "transpose_a", "false").lower() in ("true", "1")

    @_of_a_layer
    def levels(self, index: int) -> int:
        return int(self._data(index)["levels"])

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
        return any(a.get("name") in _PRECISE for a in self._layers[index].iterfind("rt_info/attribute"))

    def bodies(self, index: int) -> list[tuple[str, Graph]]:
        found = ((name, self._layers[index].find(name)) for name in _BODIES)
        return [(name, IrGraph(body, self._weights)) for name, body in found if body is not None]

    def damaged(self, index: int, error: Exception) -> ModelError:
        """What is said where a layer does not tell what it should."""
        name = self._layers[index].get("name", f"number {index}")
        return ModelError(
            f"{self._weights.with_suffix('.xml')}: is not a complete OpenVINO IR: layer {name}: {error!r}"
        )

    def constant_bytes(self) -> int:
        """How far into the .bin the Constants reach, bodies included."""
        ends = [0]
        for layer in self._layers:
            if layer.attrib["type"] == "Const":
                data = layer.find("data")
                ends.append(0 if data is None else int(data.attrib["offset"]) + int(data.attrib["size"]))
            elif layer.attrib["type"] in ("If", "Loop", "TensorIterator"):
                inner = (layer.find(name) for name in _BODIES)
                ends += [IrGraph(body, self._weights).constant_bytes() for body in inner if body is not None]
        return max(ends)

    def _data(self, index: int) -> dict[str, str]:
        data = self._layers[index].find("data")
        return {} if data is None else data.attrib

    def _output(self, index: int, port: int) -> Element:
        output = self._layers[index].find("output")
        if output is None:
            raise ValueError(f"layer {self.name(index)} has no output")
        return output[port]


def _in_topological_order(
    layers: list[Element], edges: list[Element]
) -> tuple[list[Element], list[list[tuple[int, int]]]]:
    """Layers so that each follows what it reads, and the `(layer, output port)` behind each input port."""
    position = {layer.attrib["id"]: index for index, layer in enumerate(layers)}
    first_output = [_count_inputs(layer) for layer in layers]
    sources: list[list[tuple[int, int, int]]] = [[] for _ in layers]
    for edge in edges:
        producer, consumer = position[edge.attrib["from-layer"]], position[edge.attrib["to-layer"]]
        output = int(edge.attrib["from-port"]) - first_output[producer]
        sources[consumer].append((int(edge.attrib["to-port"]), producer, output))
    order = _sorted(sources)
    rank = {old: new for new, old in enumerate(order)}
    inputs = [[(rank[producer], output) for _, producer, output in sorted(sources[old])] for old in order]
    return [layers[old] for old in order], inputs


def _count_inputs(layer: Element) -> int:
    inputs = layer.find("input")
    return 0 if inputs is None else len(inputs)


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
