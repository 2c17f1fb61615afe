"""A view of the graph with non-canonical MatMuls in OpenVINO's compressed form.

That form is a MatMul of the activation in floating point with weights Convert, [Subtract,] Multiply. The finder looks
at this graph. It describes a non-canonical site as it is after the rewrite, and ops that quantize the activation do
not hide their surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovpass.ir.graph import Graph, Shape
from ovpass.sites.onnx_runtime import NonCanonical, find_noncanonical

if TYPE_CHECKING:
    import openvino as ov

    from ovpass.ir.graph import Array


@dataclass(frozen=True)
class _Virtual:
    """An op that is not in the graph that was read. `name` is also that of the MatMul it serves."""

    name: str
    element_type: str
    shape: Shape


class CanonicalGraph(Graph):
    """Another graph with `noncanonical` MatMuls rewritten, and without what nothing reads any more."""

    def __init__(self, graph: Graph, noncanonical: Sequence[NonCanonical]) -> None:
        self._base = graph
        self._origins: list[int | _Virtual] = []
        self._types: list[str] = []
        self._sources: list[list[tuple[int, int]]] = []
        self.noncanonical: dict[int, NonCanonical] = {}
        """The rewritten MatMuls, by index into this graph."""
        by_output = {each.output: each for each in noncanonical}
        position: dict[int, int] = {}
        for index in sorted(_alive(graph, by_output)):
            if index in by_output:
                position[index] = self._canonicalize(by_output[index], position)
            else:
                sources = [(position[producer], port) for producer, port in graph.inputs[index]]
                position[index] = self._emit(graph.types[index], sources, index)
        super().__init__(self._types, self._sources)

    def _canonicalize(self, found: NonCanonical, position: dict[int, int]) -> int:
        """The ops of one MatMul; the index of the MatMul itself."""
        graph, form = self._base, found.form
        assert form is not None, "it would not have been found"
        compute, (kind, shifted) = graph.element_type(found.output), form
        name = graph.name(found.matmul)

        def emit(op: str, sources: Sequence[int], element_type: str, shape: Shape) -> int:
            return self._emit(op, [(i, 0) for i in sources], _Virtual(name, element_type, shape))

        weights = emit("Convert", [emit("Constant", [], kind, found.shape)], compute, found.shape)
        if shifted:
            shift = emit("Convert", [emit("Constant", [], kind, found.channels)], compute, found.channels)
            weights = emit("Subtract", [weights, shift], compute, found.shape)
        weights = emit("Multiply", [weights, emit("Constant", [], compute, found.channels)], compute, found.shape)
        producer, port = found.source
        matmul = self._emit("MatMul", [(position[producer], port), (weights, 0)], found.output)
        self.noncanonical[matmul] = found
        return matmul

    def _emit(self, kind: str, sources: list[tuple[int, int]], origin: int | _Virtual) -> int:
        self._types.append(kind)
        self._sources.append(sources)
        self._origins.append(origin)
        return len(self._types) - 1

    def name(self, index: int) -> str:
        if index in self.noncanonical:
            return self._base.name(self.noncanonical[index].matmul)
        origin = self._origins[index]
        return origin.name if isinstance(origin, _Virtual) else self._base.name(origin)

    def shape(self, index: int, port: int = 0) -> Shape | None:
        origin = self._origins[index]
        return origin.shape if isinstance(origin, _Virtual) else self._base.shape(origin, port)

    def element_type(self, index: int, port: int = 0) -> str:
        origin = self._origins[index]
        return origin.element_type if isinstance(origin, _Virtual) else self._base.element_type(origin, port)

    def transposed(self, index: int, port: int) -> bool:
        return self._base.transposed(self._read(index), port)

    def variable(self, index: int) -> str:
        return self._base.variable(self._read(index))

    def levels(self, index: int) -> int:
        return self._base.levels(self._read(index))

    def integers(self, index: int) -> list[int]:
        return self._base.integers(self._read(index))

    def values(self, index: int) -> Array:
        return self._base.values(self._read(index))

    def precise(self, index: int) -> bool:
        return self._base.precise(self._read(index))

    def bodies(self, index: int) -> list[tuple[str, Graph]]:
        return self._base.bodies(self._read(index))

    def node(self, index: int) -> ov.Node:
        return self._base.node(self._read(index))

    def _read(self, index: int) -> int:
        """The op in the graph that was read: of a rewritten MatMul the MatMul, not the op that scales its product."""
        if index in self.noncanonical:
            return self.noncanonical[index].matmul
        origin = self._origins[index]
        if isinstance(origin, _Virtual):
            raise TypeError(f"{origin.name} is not written in this form yet; rewrite it first")
        return origin


def canonical(graph: Graph) -> Graph:
    """The graph itself where every MatMul in it is canonical."""
    noncanonical = list(find_noncanonical(graph))
    return CanonicalGraph(graph, noncanonical) if noncanonical else graph


def _alive(graph: Graph, by_output: dict[int, NonCanonical]) -> set[int]:
    """Ops that something still depends on when rewritten MatMuls read their sources alone."""
    queue = [i for i, consumers in enumerate(graph.consumers) if not consumers]
    seen = set(queue)
    while queue:
        index = queue.pop()
        found = by_output.get(index)
        sources = [found.source] if found else graph.inputs[index]
        new = {producer for producer, _ in sources} - seen
        seen |= new
        queue.extend(new)
    return seen
