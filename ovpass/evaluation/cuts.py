"""Where a model can be cut into segments: one a block of its residual stream, and one for the head.

What a block computes depends on the blocks before it through a few tensors only: the residual stream, masks, rotary
embeddings. This module decides to which segment each op belongs; `segments` makes models of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.errors import ModelError
from ovpass.ir.graph import Graph, Output
from ovpass.sites import CompressedMatMul
from ovpass.sites.blocks import POINTWISE, RESHAPING
from ovpass.sites.kinds import LM_HEAD

_FEWEST = 2
_NORMALIZING = frozenset("ReduceMean ReduceSum ReduceL2 MVN NormalizeL2".split())
_SELECTING = frozenset("Gather Slice StridedSlice Split VariadicSplit".split())
_AS_LARGE_AS_INPUT = (POINTWISE | RESHAPING | _NORMALIZING) - _SELECTING
_FIXED = frozenset("ReadValue Result Assign MatMul ScaledDotProductAttention If Loop TensorIterator".split())


class UncuttableError(ModelError):
    """The model cannot be cut at its blocks, and why."""


@dataclass(frozen=True)
class Cut:
    """The segment of each op of `graph`, counted from 0; None for ops that are part of every segment that reads them.

    Those are the inputs of the model, constants, and what follows from both about shapes: a segment that got such
    integers from another one would know less about its own shapes, and the plugin would fuse less. `count` is the
    number of segments. An edge never leads to an earlier segment, and the two ends of a state are in one.
    """

    graph: Graph
    segment: Sequence[int | None]
    count: int

    def crossing(self) -> dict[Output, int]:
        """The outputs that another segment reads, and the last segment that does."""
        found: dict[Output, int] = {}
        for index, sources in enumerate(self.graph.inputs):
            for source in sources:
                there, here = self.segment[source[0]], self.segment[index]
                if there is not None and here is not None and here > there:
                    found[source] = max(found.get(source, 0), here)
        return found

    def inputs(self, segment: int) -> list[int]:
        """The model's inputs that the ops of a segment read, themselves or through ops of every segment."""
        ops = [index for index, found in enumerate(self.segment) if found == segment]
        sources = {producer for index in ops for producer, _ in self.graph.inputs[index]}
        shared = self.graph.upstream([i for i in sources if self.segment[i] is None], lambda _: True)
        return sorted(index for index in shared if self.graph.types[index] == "Parameter")


def find_cut(graph: Graph, sites: Sequence[CompressedMatMul]) -> Cut:
    """Decide where to cut a model, the `sites` of which tell its blocks.

    Raises:
        UncuttableError: if its blocks do not follow each other, or there are fewer than two.
    """
    return _Assignment(graph, own_segments(sites)).cut()


def why_whole(sites: Sequence[CompressedMatMul]) -> str | None:
    """Why the model of these sites cannot be cut; None if it can."""
    try:
        find_cut(next(site.graph for site in sites if not site.in_body), sites)
    except UncuttableError as error:
        return str(error)
    except StopIteration:
        return "all sites are in bodies of an If or a loop"
    return None


def own_segments(sites: Sequence[CompressedMatMul]) -> dict[int, int]:
    """The segment that each site has to be in, by its index: its block; the head follows on all blocks.

    Raises:
        UncuttableError: if there are fewer than two blocks.
    """
    outside = [site for site in sites if not site.in_body]
    blocks = sorted({site.layer for site in outside if site.layer is not None})
    if len(blocks) < _FEWEST:
        raise UncuttableError("it has fewer than two blocks of sites")
    place = {block: number for number, block in enumerate(blocks)}
    own = {site.index: place[site.layer] for site in outside if site.layer is not None}
    heads = {site.index: len(blocks) for site in outside if site.layer is None and site.kind == LM_HEAD}
    return own | heads


class _Assignment:
    """Every op as early as its inputs allow; then later, as long as no more tensors cross."""

    def __init__(self, graph: Graph, own: Mapping[int, int]) -> None:
        self._graph, self._own = graph, own
        self._segment = self._earliest()

    def cut(self) -> Cut:
        for index, target in self._states().items():
            self._segment[index] = target
        self._delay()
        self._check()
        count = 1 + max(segment for segment in self._segment if segment is not None)
        return Cut(self._graph, self._segment, count)

    def _earliest(self) -> list[int | None]:
        graph, found = self._graph, list[int | None]()
        for index, sources in enumerate(graph.inputs):
            before = [segment for producer, _ in sources if (segment := found[producer]) is not None]
            if not before and self._is_everywhere(index):
                found.append(None)
                continue
            earliest = max(before, default=0)
            if self._own.get(index, earliest) < earliest:
                raise UncuttableError(f"{graph.name(index)} reads from a block after its own")
            found.append(max(earliest, self._own.get(index, 0)))
        return found

    def _is_everywhere(self, index: int) -> bool:
        """Whether an op that reads no segment is part of all; constants and integers of one dimension are."""
        graph, kind = self._graph, self._graph.types[index]
        if kind in ("Constant", "Parameter"):
            return True
        if kind in _FIXED:
            return False
        shape = graph.shape(index)
        is_shape = graph.element_type(index) in ("i64", "i32") and shape is not None and len(shape) <= 1
        return graph.constant[index] or is_shape

    def _states(self) -> dict[int, int]:
        """The segment of each ReadValue: that in which its state is assigned."""
        graph, assigned = self._graph, dict[str, int]()
        for index, kind in enumerate(graph.types):
            if kind == "Assign":
                assigned[graph.variable(index)] = self._segment[index] or 0
        reads = [index for index, kind in enumerate(graph.types) if kind == "ReadValue"]
        return {index: assigned.get(graph.variable(index), self._segment[index] or 0) for index in reads}

    def _delay(self) -> None:
        for index in range(len(self._graph.types) - 1, -1, -1):
            here = self._segment[index]
            if here is None or index in self._own or self._graph.types[index] in _FIXED:
                continue
            readers = {self._segment[reader] for reader in self._graph.consumers[index]}
            later = readers.pop() if len(readers) == 1 else None
            if later is not None and later > here and self._pays(index, later):
                self._segment[index] = later

    def _pays(self, index: int, later: int) -> bool:
        """Whether no more crosses if the op moves to the segment of all that read it."""
        added = {source for source in self._graph.inputs[index] if self._would_cross(source, index, later)}
        return len(added) <= (self._graph.types[index] in _AS_LARGE_AS_INPUT)

    def _would_cross(self, source: Output, reader: int, later: int) -> bool:
        there = self._segment[source[0]]
        if there is None or self._graph.types[source[0]] == "ReadValue" or there >= later:
            return False
        others = (other for other in self._graph.consumers[source[0]] if other != reader)
        return all((self._segment[other] or 0) <= there for other in others if source in self._graph.inputs[other])

    def _check(self) -> None:
        for index, sources in enumerate(self._graph.inputs):
            here = self._segment[index]
            for producer, _ in sources:
                there = self._segment[producer]
                if here is not None and there is not None and there > here:
                    raise UncuttableError(f"{self._graph.name(index)} reads the state of a block after its own")
