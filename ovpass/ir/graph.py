"""A model, or one of its bodies, as lists of integers that are fast to walk.

The finder works on `Graph`. Subclasses read it from an `ov.Model` (`ovpass.ir.model_graph`) or from the text of an IR
(`ovpass.ir.text_graph`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import openvino as ov

    Array = npt.NDArray[Any]

# Results of these never count as constant, whatever feeds them.
_STATEFUL = {"Parameter", "ReadValue", "Assign", "Result", "If", "Loop", "TensorIterator"}

Output = tuple[int, int]
"""An op and one of its output ports."""
Shape = tuple[int, ...]
"""Dimensions, -1 where one is dynamic."""


class Graph(ABC):
    """Ops in topological order and their edges, as indices.

    `types[i]` is the type of op i; `inputs[i]` holds `(producer index, output port)` for each of its input ports;
    `consumers[i]` the ops that read any of its outputs; `constant[i]` is true where its values come from Constants
    alone.
    """

    def __init__(self, types: list[str], inputs: list[list[tuple[int, int]]]) -> None:
        self.types = types
        self.inputs = inputs
        self.consumers: list[list[int]] = [[] for _ in types]
        self.constant: list[bool] = []
        for index, sources in enumerate(inputs):
            for producer, _ in sources:
                self.consumers[producer].append(index)
            kind = types[index]
            # Shape and lengths can be taken from the activation, as the ONNX frontend does it for grouped weights and
            # PyTorch's for packed projections; the data is constant.
            data = sources[:1] if kind in ("Reshape", "VariadicSplit") else sources
            folds = bool(data) and kind not in _STATEFUL
            constant = kind == "Constant" or (folds and all(self.constant[producer] for producer, _ in data))
            self.constant.append(constant)

    def rewired(self, types: list[str], inputs: list[list[tuple[int, int]]]) -> Graph:
        """The same ops, by the same indices, with other types and edges."""
        view = copy(self)
        Graph.__init__(view, types, inputs)
        return view

    @abstractmethod
    def name(self, index: int) -> str:
        """The friendly name."""

    @abstractmethod
    def shape(self, index: int, port: int = 0) -> Shape | None:
        """The shape of an output; None where even the rank is dynamic."""

    @abstractmethod
    def element_type(self, index: int, port: int = 0) -> str:
        """The element type of an output by its IR name, `"u4"` for example."""

    @abstractmethod
    def transposed(self, index: int, port: int) -> bool:
        """Whether a MatMul transposes that input."""

    @abstractmethod
    def levels(self, index: int) -> int:
        """How many values a FakeQuantize leaves."""

    @abstractmethod
    def variable(self, index: int) -> str:
        """The name of the state that a ReadValue or an Assign is about."""

    @abstractmethod
    def integers(self, index: int) -> list[int]:
        """The values of a small integer Constant."""

    @abstractmethod
    def values(self, index: int) -> Array:
        """The values of a Constant of i8, u8, i32, i64, f16, f32 or f64, in its shape, whatever its size."""

    @abstractmethod
    def precise(self, index: int) -> bool:
        """Whether the op is marked to compute in f32."""

    @abstractmethod
    def bodies(self, index: int) -> list[tuple[str, Graph]]:
        """The named bodies of an If, Loop or TensorIterator; none for any other op."""

    def node(self, index: int) -> ov.Node:
        """The op itself, where the graph was read from an `ov.Model`."""
        raise TypeError("this graph was read from text; read the model to get at its nodes")

    def upstream(self, starts: Iterable[int], enter: Callable[[int], bool]) -> Iterator[int]:
        """Ops reached against the edges from `starts`, the last first; one that `enter` refuses is listed, not passed.

        They are found as they are asked for: who stops at the nearest does not walk the rest of the graph.
        """
        return _walk(starts, enter, lambda i: [producer for producer, _ in self.inputs[i]], -1)

    def downstream(self, starts: Iterable[int], enter: Callable[[int], bool]) -> Iterator[int]:
        """Ops reached along the edges from `starts`, the first first; otherwise as `upstream`."""
        return _walk(starts, enter, lambda i: self.consumers[i], 1)


def _walk(
    starts: Iterable[int], enter: Callable[[int], bool], step: Callable[[int], list[int]], direction: int
) -> Iterator[int]:
    """In order of the indices, up or down: whatever a step leads to lies further on."""
    seen = set(starts)
    queue = sorted(direction * index for index in seen)
    while queue:
        index = direction * heappop(queue)
        yield index
        if not enter(index):
            continue
        for other in step(index):
            if other not in seen:
                seen.add(other)
                heappush(queue, direction * other)
