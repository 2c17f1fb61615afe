"""Classify each linear layer from the graph's structure, because names can be bare (`MatMul_46`).

Attention cores are found first: a ScaledDotProductAttention, or a Softmax between two MatMuls of activations.
The nearest linear layers upstream of a core's inputs are Q, K and V. The nearest ones downstream are the output.
A linear layer whose Sigmoid multiplies a core's result is its gate.
A feed-forward block ends with a linear layer whose input is an activation function of other linear layers' outputs.
A layer that widens and reaches a Result with no linear layer or convolution in between is the head.
Where structure says nothing, module paths in the exporter's names may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ovpass.ir.graph import Graph
from ovpass.sites.blocks import ACTIVATIONS, POINTWISE, RESHAPING, Core, FeedForward, number_layers
from ovpass.sites.exporter_names import ModulePaths

ATTN_Q, ATTN_K, ATTN_V, ATTN_QKV, ATTN_OUT = "attn.q", "attn.k", "attn.v", "attn.qkv", "attn.out"
ATTN_GATE = "attn.gate"
MLP_GATE, MLP_UP, MLP_GATE_UP, MLP_DOWN = "mlp.gate", "mlp.up", "mlp.gate_up", "mlp.down"
LM_HEAD, OTHER = "lm_head", "other"
KINDS = (
    ATTN_Q, ATTN_K, ATTN_V, ATTN_QKV, ATTN_OUT, ATTN_GATE,
    MLP_GATE, MLP_UP, MLP_GATE_UP, MLP_DOWN, LM_HEAD, OTHER,
)  # fmt: skip

_SPLITTING = frozenset("Split VariadicSplit Slice StridedSlice".split())
_CONVOLUTIONS = frozenset("Convolution GroupConvolution".split())
_GATING = RESHAPING | _SPLITTING | {"Multiply", "Sigmoid"}
_MOST_FEEDING = 2  # linear layers in front of an activation function: gate and up
_HEADS_MERGED = RESHAPING | _SPLITTING | {"Multiply"}  # a gate can multiply the attention's output


def kind_order(kind: str) -> tuple[int, str]:
    """A key that sorts kinds in the order in which a block computes them, unknown ones last."""
    return (KINDS.index(kind) if kind in KINDS else len(KINDS), kind)


@dataclass(frozen=True)
class Role:
    """The kind of a linear layer and the index of its block; None where it belongs to no block."""

    kind: str
    layer: int | None


def roles(graph: Graph) -> dict[int, Role]:
    """The role of every MatMul with constant weights, compressed or not, by its index in `graph`."""
    return _Classifier(graph).roles()


class _Classifier:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._linear = {
            i
            for i, kind in enumerate(graph.types)
            if kind == "MatMul" and any(graph.constant[p] for p, _ in graph.inputs[i])
        }
        self._shapes = self._shape_computations()
        self._cores = [core for i in range(len(graph.types)) if (core := self._core(i)) is not None]
        self._kinds: dict[int, str] = {}
        self._parts: list[FeedForward] = []

    def roles(self) -> dict[int, Role]:
        """Attention first: what it claims, nothing later may."""
        for core in self._cores:
            self._label_attention(core)
        for index in sorted(self._linear):
            self._label_feed_forward(index)
        layers = number_layers(self._graph, self._linear, self._cores, self._parts)
        self._label_heads()
        paths = ModulePaths(self._graph, self._linear)
        self._kinds.update(paths.kinds(self._linear - self._kinds.keys()))
        layers = paths.layers(layers, {i for core in self._cores for i in core.linears})
        return {i: Role(self._kinds.get(i, OTHER), layers.get(i)) for i in self._linear}

    def _shape_computations(self) -> set[int]:
        """Ops that work on shapes: a split's lengths can be computed from the shape of what is split."""
        found: set[int] = set()
        for index, kind in enumerate(self._graph.types):
            data = [producer for producer, _ in self._graph.inputs[index] if not self._graph.constant[producer]]
            if kind == "ShapeOf" or (data and found.issuperset(data)):
                found.add(index)
        return found

    # attention -------------------------------------------------------------------------------------------

    def _core(self, index: int) -> Core | None:
        kind = self._graph.types[index]
        if kind == "ScaledDotProductAttention":
            sources = [producer for producer, _ in self._graph.inputs[index]]
            return self._around([index], sources[0], sources[1], sources[2])
        if kind == "Softmax":
            return self._decomposed(index)
        return None

    def _decomposed(self, softmax: int) -> Core | None:
        """Scores MatMul, scaling and mask, Softmax, value MatMul."""
        passable = POINTWISE | {"Softmax", "Select"}
        scores = self._sole_product(self._graph.upstream([softmax], lambda i: self._graph.types[i] in passable))
        if scores is None:
            return None
        values = self._sole_product(self._graph.downstream([softmax], lambda i: self._graph.types[i] in passable))
        if values is None:
            return None
        left, right = (producer for producer, _ in self._graph.inputs[scores][:2])
        value = self._graph.inputs[values][1][0]
        return self._around([scores, softmax, values], left, right, value)

    def _sole_product(self, reached: Iterator[int]) -> int | None:
        """The one MatMul of two activations among ops reached; None where there is no such one."""
        products = (i for i in reached if self._graph.types[i] == "MatMul" and i not in self._linear)
        first, second = next(products, None), next(products, None)
        return first if second is None else None

    def _around(self, nodes: list[int], q: int, k: int, v: int) -> Core:
        core = Core(nodes)
        core.q, core.k, core.v = (self._linears_above(source) for source in (q, k, v))
        core.out = self._linears_below(nodes[-1])
        core.gate = self._gates(core)
        return core

    def _linears_below(self, end: int) -> list[int]:
        """Each stream of a joint attention has an output layer of its own; else it is the nearest linear layer."""
        merging = self._graph.downstream([end], lambda i: i == end or self._graph.types[i] in _HEADS_MERGED)
        below = self._graph.downstream([end], self._carries)
        return sorted(self._linear.intersection(merging)) or list(islice((i for i in below if i in self._linear), 1))

    def _linears_above(self, source: int) -> list[int]:
        reached = self._graph.upstream([source], self._carries)
        # Position embeddings can multiply a constant in float: the projection is the widest one that is reached.
        found = sorted(self._linear.intersection(reached))
        own = [i for i in found if self._reads_activation(i)]
        return own or found

    def _carries(self, index: int) -> bool:
        """Neither a layer with weights of its own nor a computation of shapes."""
        is_layer = index in self._linear or self._graph.types[index] in _CONVOLUTIONS
        return not is_layer and index not in self._shapes

    def _reads_activation(self, linear: int) -> bool:
        """Weights on input 1, as every projection has them; the rotary table is a constant on input 0."""
        return self._graph.constant[self._graph.inputs[linear][1][0]]

    def _label_attention(self, core: Core) -> None:
        claims = [(ATTN_Q, core.q), (ATTN_K, core.k), (ATTN_V, core.v)]
        for kind, linears in claims:
            for index in linears:
                shared = sum(index in others for _, others in claims) > 1
                self._claim(index, ATTN_QKV if shared else kind)
        for index in core.out:
            self._claim(index, ATTN_OUT)
        for index in core.gate:
            self._claim(index, ATTN_GATE)

    def _gates(self, core: Core) -> list[int]:
        """Linear layers whose Sigmoid multiplies the result of the attention."""
        sources = [source for index in core.out if (source := self._data_source(index)) is not None]
        reached = list(self._graph.upstream(sources, lambda i: self._graph.types[i] in _GATING))
        gated = core.nodes[-1] in reached and any(self._graph.types[i] == "Sigmoid" for i in reached)
        return sorted(self._linear.intersection(reached)) if gated else []

    def _claim(self, index: int, kind: str) -> None:
        self._kinds.setdefault(index, kind)

    # feed-forward ----------------------------------------------------------------------------------------

    def _label_feed_forward(self, down: int) -> None:
        """Label `down` and the layers that feed it, where only an activation function lies between."""
        source = self._data_source(down)
        if down in self._kinds or source is None:
            return
        between = self._between(source)
        feeding = self._linear.intersection(between)
        activated = [i for i in between if self._graph.types[i] in ACTIVATIONS and not self._squashes(i)]
        if not feeding or not activated:
            return
        self._claim(down, MLP_DOWN)
        gates = self._linear.intersection(self._graph.upstream(activated, lambda i: self._graph.types[i] in POINTWISE))
        self._parts.append(FeedForward(down, tuple(sorted(feeding))))
        for index in feeding:
            self._claim(index, self._feeding_kind(index, feeding, gates, between))

    def _squashes(self, index: int) -> bool:
        """A Tanh by itself, as classifiers and poolers have it; a GELU adds to it or multiplies it."""
        readers = {self._graph.types[i] for i in self._graph.consumers[index]}
        return self._graph.types[index] == "Tanh" and readers.isdisjoint(("Add", "Multiply"))

    def _between(self, source: int) -> list[int]:
        """Pointwise ops up to the one or two linear layers that feed `source`, and those; empty where else it leads."""
        between, feeding = [], 0
        for index in self._graph.upstream([source], lambda i: self._graph.types[i] in POINTWISE):
            if self._graph.constant[index] or index in self._shapes:
                continue
            between.append(index)
            feeding += index in self._linear
            unclaimed = index in self._linear and index not in self._kinds
            if feeding > _MOST_FEEDING or not (unclaimed or self._graph.types[index] in POINTWISE):
                return []
        return between

    def _feeding_kind(self, index: int, feeding: set[int], gates: set[int], between: list[int]) -> str:
        if len(feeding) == 2:
            return MLP_GATE if index in gates else MLP_UP
        halves = any(self._graph.types[i] in _SPLITTING for i in between)
        return MLP_GATE_UP if halves else MLP_UP

    def _data_source(self, linear: int) -> int | None:
        data = [producer for producer, _ in self._graph.inputs[linear] if not self._graph.constant[producer]]
        return data[0] if data else None

    # head ------------------------------------------------------------------------------------------------

    def _label_heads(self) -> None:
        if len(self._linear) == 1:
            return
        for index in self._linear - self._kinds.keys():
            if self._widens(index) and self._ends(index):
                self._kinds[index] = LM_HEAD

    def _ends(self, linear: int) -> bool:
        """Whether its output reaches a Result, and no other linear layer."""
        reaches_result = False
        for index in self._graph.downstream(self._graph.consumers[linear], self._carries):
            if index in self._linear:
                return False
            reaches_result = reaches_result or self._graph.types[index] == "Result"
        return reaches_result

    def _widens(self, linear: int) -> bool:
        """A vocabulary is wider than what it is projected from; a pooler is not."""
        weights = next(port for port, (p, _) in enumerate(self._graph.inputs[linear]) if self._graph.constant[p])
        source, output = self._graph.inputs[linear][weights]
        shape = self._graph.shape(source, output) or ()
        if len(shape) < 2:  # a product with a vector
            return False
        rows, columns = shape[-2:]
        k_last = self._graph.transposed(linear, weights) == bool(weights)
        k, n = (columns, rows) if k_last else (rows, columns)
        return n > k
