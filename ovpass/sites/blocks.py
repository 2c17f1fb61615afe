"""Assign each linear layer to a block, counted along the residual stream.

A self-attention starts a block, and so does another token mixer (a convolution, a recurrence): linear layers that are
added to the stream they read. A feed-forward part belongs to the block before it, or beside it on the same stream. A
part that is not added to the stream it reads (a projector, a time embedding) belongs to no block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ovpass.ir.graph import Graph

ACTIVATIONS = frozenset("Swish Sigmoid Gelu Relu PRelu Elu Selu Tanh Erf HSwish HSigmoid Mish SoftPlus Clamp".split())
POINTWISE = ACTIVATIONS | frozenset(
    "Add Subtract Multiply Divide Power Sqrt Convert Reshape Squeeze Unsqueeze Slice StridedSlice Split "
    "VariadicSplit Gather Transpose Minimum Maximum Negative Exp".split()
)
RESHAPING = frozenset("Reshape Squeeze Unsqueeze Transpose Convert Tile Broadcast".split())
_REDUCTIONS = frozenset("ReduceMean ReduceSum ReduceL2 MVN NormalizeL2 GroupNormalization RMS RMSNorm".split())
_FINISHING = POINTWISE | RESHAPING | _REDUCTIONS  # experts are weighed and summed, sandwich norms follow


@dataclass
class Core:
    """One attention: the linear layers around it, as indices into the Graph."""

    nodes: list[int]
    q: list[int] = field(default_factory=list)
    k: list[int] = field(default_factory=list)
    v: list[int] = field(default_factory=list)
    gate: list[int] = field(default_factory=list)
    out: list[int] = field(default_factory=list)

    @property
    def linears(self) -> list[int]:
        """All of them."""
        return [*self.q, *self.k, *self.v, *self.gate, *self.out]


@dataclass(frozen=True)
class FeedForward:
    """The last linear layer of a feed-forward part, and those that feed it."""

    down: int
    feeding: tuple[int, ...]


def number_layers(
    graph: Graph, linear: Collection[int], cores: Sequence[Core], parts: Sequence[FeedForward]
) -> dict[int, int]:
    """The block of every linear layer that is in one."""
    return _Blocks(graph, linear, cores, parts).layers()


class _Blocks:
    def __init__(
        self, graph: Graph, linear: Collection[int], cores: Sequence[Core], parts: Sequence[FeedForward]
    ) -> None:
        self._graph = graph
        self._linear = linear
        self._cores = cores
        self._reductions = self._last_reductions()
        residual = [part for part in parts if self._added_to_its_source(part.down, part.feeding, _FINISHING)]
        self._parts = residual or list(parts)
        taken = {i for core in cores for i in core.linears} | {i for p in parts for i in (p.down, *p.feeding)}
        self._mixers = self._find_mixers([i for i in linear if i not in taken])
        self._layers: dict[int, int] = {}

    def layers(self) -> dict[int, int]:
        levels, alone = self._walk()
        beside = {
            (self._layers[index], self._stream(index))
            for core in self._cores
            for index in core.q
            if index in self._layers
        }
        for part in self._parts if levels and (self._cores or self._mixers) else ():
            level = levels[part.feeding[0]]
            if part.down not in alone and (level, self._stream(part.feeding[0])) not in beside:
                level -= 1
            for index in (part.down, *part.feeding):
                self._layers.setdefault(index, max(0, level))
        return self._layers

    def _walk(self) -> tuple[list[int], set[int]]:
        """Finished blocks upstream of each op, on the deepest path; feed-forward parts that end a block of a mixer."""
        ends = {core.nodes[-1]: core for core in self._cores}
        downs = {part.down for part in self._parts}
        states: list[tuple[int, bool]] = []  # blocks finished, and whether a mixer has opened the next
        alone: set[int] = set()
        last = -1
        for index, sources in enumerate(self._graph.inputs):
            level, opened = max((states[producer] for producer, _ in sources), default=(0, False))
            if index in ends:
                if last < 0 or self._attends_itself(ends[index], states):
                    last = max(last + 1, level)
                self._assign(ends[index].linears, last)
                level, opened = max(level, last + 1), False
            elif index in self._mixers:
                level, opened = level + opened, True
                self._assign([index, *self._mixers[index]], level)
            elif index in downs and opened:
                alone.add(index)
                level, opened = level + 1, False
            states.append((level, opened))
        return [level for level, _ in states], alone

    def _assign(self, linears: Sequence[int], block: int) -> None:
        for index in linears:
            self._layers.setdefault(index, block)

    def _attends_itself(self, core: Core, states: Sequence[tuple[int, bool]]) -> bool:
        """Cross-attention belongs to the block of the self-attention before it: its V follows on another block."""
        queries, values = self._activations(core.q), self._activations(core.v)
        if queries & values:
            return True
        finished = [max((states[producer][0] for producer, _ in found), default=-1) for found in (queries, values)]
        return finished[0] == finished[1] > 0

    def _activations(self, linears: Sequence[int]) -> set[tuple[int, int]]:
        return {source for i in linears for source in self._graph.inputs[i] if not self._graph.constant[source[0]]}

    def _find_mixers(self, unknown: Sequence[int]) -> Mapping[int, Sequence[int]]:
        """Linear layers that end an unknown kind of mixing of tokens, each with those that feed it."""
        others, found = set(unknown), {}
        for index in unknown:
            if not self._is_summed(index):
                continue
            above = self._graph.upstream([self._source(index)], lambda i: i not in self._linear)
            feeding = sorted(others.intersection(above))
            if feeding and self._added_to_its_source(index, feeding, RESHAPING):
                found[index] = feeding
        return found

    # the residual stream ---------------------------------------------------------------------------------

    def _added_to_its_source(self, last: int, feeding: Sequence[int], passable: Collection[str]) -> bool:
        """Whether the output of `last` is added to what the layers that feed it read, before normalization or after.

        Ops of the types `passable` may lie in between; a bias always may.
        """
        sources = {self._bare(i) for linear in feeding for i in (self._source(linear), self._stream(linear))}
        below = self._below(last, passable)
        # Experts are added one after the other.
        stream = self._graph.downstream(sources, lambda i: i in sources or self._hands_on(i))
        return self._sums(below, (i for i in stream if i in sources or self._hands_on(i)))

    def _sums(self, below: Iterator[int], stream: Iterator[int]) -> bool:
        """Whether an Add of what is `below` a layer adds what is in the `stream` alone; both are in order."""
        seen_below, seen_stream = set(), set()
        this, other = next(below, None), next(stream, None)
        while this is not None and other is not None:
            if this == other and self._graph.types[this] == "Add":
                added = [producer for producer, _ in self._graph.inputs[this]]
                if any(producer in seen_stream and producer not in seen_below for producer in added):
                    return True
            first = min(this, other)
            if this == first:
                seen_below.add(first)
                this = next(below, None)
            if other == first:
                seen_stream.add(first)
                other = next(stream, None)
        return False

    def _below(self, last: int, passable: Collection[str]) -> Iterator[int]:
        return self._graph.downstream(
            [last],
            lambda i: i == last or (i not in self._linear and (self._graph.types[i] in passable or self._is_bias(i))),
        )

    def _is_summed(self, linear: int) -> bool:
        """Whether the output of a linear layer, its shape aside, is added to anything but a bias."""
        below = self._below(linear, RESHAPING)
        return any(self._graph.types[i] == "Add" and not self._is_bias(i) for i in below)

    def _hands_on(self, index: int) -> bool:
        return self._graph.types[index] == "Add" or self._graph.types[index] in RESHAPING

    def _is_bias(self, index: int) -> bool:
        """An Add of a constant."""
        return self._graph.types[index] == "Add" and any(self._graph.constant[p] for p, _ in self._graph.inputs[index])

    def _bare(self, index: int) -> int:
        """What an op gives another shape to."""
        while self._graph.types[index] in RESHAPING:
            index = self._graph.inputs[index][0][0]
        return index

    def _source(self, linear: int) -> int:
        """The activation that a linear layer reads; the layer itself where both of its inputs are constant."""
        data = (producer for producer, _ in self._graph.inputs[linear] if not self._graph.constant[producer])
        return next(data, linear)

    def _stream(self, linear: int) -> int:
        """The op whose output the normalization in front of `linear` reads; its own input where there is none."""
        source = self._source(linear)
        reduction = self._reductions[source]
        if reduction < 0:
            return source
        index = self._graph.inputs[reduction][0][0]
        squared = self._graph.types[index] in ("Power", "Multiply", "Subtract")
        return self._graph.inputs[index][0][0] if squared else index

    def _last_reductions(self) -> list[int]:
        """For each op the last reduction upstream of it that normalizes it, -1 for none."""
        passable = (POINTWISE | RESHAPING) - {"Gather"}
        last: list[int] = []
        for index, kind in enumerate(self._graph.types):
            above = (last[producer] for producer, _ in self._graph.inputs[index])
            last.append(index if kind in _REDUCTIONS else max(above, default=-1) if kind in passable else -1)
        return last
