"""What each linear layer is for, told from the graph's structure, because names can be bare (`MatMul_46`).

Attention cores are found first: a ScaledDotProductAttention, or a Softmax between two MatMuls of activations.
The linear layers nearest upstream of a core's inputs are its Q, K and V; those nearest downstream its output.
A feed-forward block is a linear layer whose input is nothing but an activation function of other linear layers'
outputs. Whatever reaches a Result with no linear layer in between, and widens, is the head.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ovpass.sites.graph import Graph

ATTN_Q, ATTN_K, ATTN_V, ATTN_QKV, ATTN_OUT = "attn.q", "attn.k", "attn.v", "attn.qkv", "attn.out"
MLP_GATE, MLP_UP, MLP_GATE_UP, MLP_DOWN = "mlp.gate", "mlp.up", "mlp.gate_up", "mlp.down"
LM_HEAD, OTHER = "lm_head", "other"
KINDS = (
    ATTN_Q, ATTN_K, ATTN_V, ATTN_QKV, ATTN_OUT,
    MLP_GATE, MLP_UP, MLP_GATE_UP, MLP_DOWN, LM_HEAD, OTHER,
)  # fmt: skip

_ACTIVATIONS = frozenset("Swish Sigmoid Gelu Relu PRelu Elu Selu Tanh Erf HSwish HSigmoid Mish SoftPlus Clamp".split())
_POINTWISE = _ACTIVATIONS | frozenset(
    "Add Subtract Multiply Divide Power Sqrt Convert Reshape Squeeze Unsqueeze Slice StridedSlice Split "
    "VariadicSplit Gather Transpose Minimum Maximum Negative Exp".split()
)
_REDUCTIONS = frozenset("ReduceMean ReduceSum ReduceL2 MVN NormalizeL2 GroupNormalization RMS RMSNorm".split())


@dataclass(frozen=True)
class Role:
    """The kind of a linear layer and the index of its block; None where it belongs to no block."""

    kind: str
    layer: int | None


@dataclass
class _Core:
    """One attention: the linear layers around it, as indices into the Graph."""

    nodes: list[int]
    q: list[int] = field(default_factory=list)
    k: list[int] = field(default_factory=list)
    v: list[int] = field(default_factory=list)
    out: list[int] = field(default_factory=list)


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
        self._cores = [core for i in range(len(graph.types)) if (core := self._core(i)) is not None]
        self._kinds: dict[int, str] = {}
        self._layers: dict[int, int] = {}
        self._feeds: dict[int, int] = {}  # layer of a feed-forward block -> the first layer of that block

    def roles(self) -> dict[int, Role]:
        """Attention first: what it claims, nothing later may."""
        blocks = self._number_blocks()
        for core, block in zip(self._cores, blocks, strict=True):
            self._label_attention(core, block)
        for index in sorted(self._linear):
            self._label_feed_forward(index)
        depth = self._depth(blocks)
        for index, first in self._feeds.items():
            if self._cores:
                self._layers[index] = max(0, self._feed_forward_block(first, depth[first]))
        self._label_heads()
        return {i: Role(self._kinds.get(i, OTHER), self._layers.get(i)) for i in self._linear}

    # attention -------------------------------------------------------------------------------------------

    def _core(self, index: int) -> _Core | None:
        kind = self._graph.types[index]
        if kind == "ScaledDotProductAttention":
            sources = [producer for producer, _ in self._graph.inputs[index]]
            return self._around([index], sources[0], sources[1], sources[2])
        if kind == "Softmax":
            return self._decomposed(index)
        return None

    def _decomposed(self, softmax: int) -> _Core | None:
        """Scores MatMul, scaling and mask, Softmax, value MatMul."""
        passable = _POINTWISE | {"Softmax", "Select"}
        scores = self._nearest_product(self._graph.upstream([softmax], lambda i: self._graph.types[i] in passable))
        values = self._nearest_product(self._graph.downstream([softmax], lambda i: self._graph.types[i] in passable))
        if scores is None or values is None:
            return None
        left, right = (producer for producer, _ in self._graph.inputs[scores][:2])
        value = self._graph.inputs[values][1][0]
        return self._around([scores, softmax, values], left, right, value)

    def _nearest_product(self, reached: list[int]) -> int | None:
        """The one MatMul of two activations among ops reached; None where there is no such one."""
        products = [i for i in reached if self._graph.types[i] == "MatMul" and i not in self._linear]
        return products[0] if len(products) == 1 else None

    def _around(self, nodes: list[int], q: int, k: int, v: int) -> _Core:
        core = _Core(nodes)
        core.q, core.k, core.v = (self._linears_above(source) for source in (q, k, v))
        below = self._graph.downstream(
            nodes[-1:], lambda i: i not in self._linear and self._graph.types[i] != "ShapeOf"
        )
        core.out = sorted(self._linear.intersection(below))[:1]
        return core

    def _linears_above(self, source: int) -> list[int]:
        reached = self._graph.upstream([source], lambda i: i not in self._linear and self._graph.types[i] != "ShapeOf")
        # Position embeddings can multiply a constant in float: the projection is the widest one that is reached.
        found = sorted(self._linear.intersection(reached))
        own = [i for i in found if self._reads_activation(i)]
        return own or found

    def _reads_activation(self, linear: int) -> bool:
        """Weights on input 1, as every projection has them; the rotary table is a constant on input 0."""
        return self._graph.constant[self._graph.inputs[linear][1][0]]

    def _label_attention(self, core: _Core, block: int) -> None:
        claims = [(ATTN_Q, core.q), (ATTN_K, core.k), (ATTN_V, core.v)]
        for kind, linears in claims:
            for index in linears:
                shared = sum(index in others for _, others in claims) > 1
                self._claim(index, ATTN_QKV if shared else kind, block)
        for index in core.out:
            self._claim(index, ATTN_OUT, block)

    def _claim(self, index: int, kind: str, block: int | None) -> None:
        if index not in self._kinds:
            self._kinds[index] = kind
            if block is not None:
                self._layers[index] = block

    def _number_blocks(self) -> list[int]:
        """Self-attention opens a block; cross-attention belongs to the block of the one before it."""
        numbers: list[int] = []
        for core in self._cores:
            opens = not numbers or self._activations(core.q) & self._activations(core.v)
            numbers.append((numbers[-1] if numbers else -1) + (1 if opens else 0))
        return numbers

    def _activations(self, linears: list[int]) -> set[tuple[int, int]]:
        return {source for i in linears for source in self._graph.inputs[i] if not self._graph.constant[source[0]]}

    # feed-forward ----------------------------------------------------------------------------------------

    def _label_feed_forward(self, down: int) -> None:
        """Label `down` and the layers that feed it, where only an activation function lies between."""
        source = self._data_source(down)
        if down in self._kinds or source is None:
            return
        between = self._graph.upstream([source], lambda i: self._graph.types[i] in _POINTWISE)
        between = [i for i in between if not self._graph.constant[i]]
        feeding = self._linear.intersection(between)
        foreign = {i for i in between if self._graph.types[i] not in _POINTWISE} - feeding
        activated = [i for i in between if self._graph.types[i] in _ACTIVATIONS]
        if foreign or not activated or not 1 <= len(feeding) <= 2 or feeding & self._kinds.keys():
            return
        self._claim(down, MLP_DOWN, None)
        gates = self._linear.intersection(self._graph.upstream(activated, lambda i: self._graph.types[i] in _POINTWISE))
        self._feeds.update(dict.fromkeys([down, *feeding], min(feeding)))
        for index in feeding:
            self._claim(index, self._feeding_kind(index, feeding, gates, between), None)

    def _feeding_kind(self, index: int, feeding: set[int], gates: set[int], between: list[int]) -> str:
        if len(feeding) == 2:
            return MLP_GATE if index in gates else MLP_UP
        halves = any(self._graph.types[i] in ("Split", "VariadicSplit", "Slice", "StridedSlice") for i in between)
        return MLP_GATE_UP if halves else MLP_UP

    def _data_source(self, linear: int) -> int | None:
        data = [producer for producer, _ in self._graph.inputs[linear] if not self._graph.constant[producer]]
        return data[0] if data else None

    def _depth(self, blocks: list[int]) -> list[int]:
        """For each op, how many blocks' attention lies upstream of it on the deepest path."""
        finished = {core.nodes[-1]: block + 1 for core, block in zip(self._cores, blocks, strict=True)}
        depth: list[int] = []
        for index, sources in enumerate(self._graph.inputs):
            deepest = max((depth[producer] for producer, _ in sources), default=0)
            depth.append(max(deepest, finished.get(index, 0)))
        return depth

    def _feed_forward_block(self, first: int, level: int) -> int:
        """A block's feed-forward part follows its attention, or runs beside it on the same residual stream."""
        beside = {
            self._residual(index)
            for index, kind in self._kinds.items()
            if kind in (ATTN_Q, ATTN_QKV) and self._layers.get(index) == level
        }
        return level if self._residual(first) in beside else level - 1

    def _residual(self, linear: int) -> int:
        """The op whose output the normalization in front of `linear` reads; its own input where there is none."""
        source = self._data_source(linear)
        if source is None:
            return linear
        reached = self._graph.upstream(
            [source], lambda i: self._graph.types[i] in _POINTWISE and self._graph.types[i] != "Gather"
        )
        normalizing = [i for i in reached if self._graph.types[i] in _REDUCTIONS]
        if not normalizing:
            return source
        index = self._graph.inputs[max(normalizing)][0][0]
        squared = self._graph.types[index] in ("Power", "Multiply", "Subtract")
        return self._graph.inputs[index][0][0] if squared else index

    # head ------------------------------------------------------------------------------------------------

    def _label_heads(self) -> None:
        for index in self._linear - self._kinds.keys():
            below = self._graph.downstream(self._graph.consumers[index], lambda i: i not in self._linear)
            reaches_result = any(self._graph.types[i] == "Result" for i in below)
            feeds_linear = bool(self._linear.intersection(below))
            if reaches_result and not feeds_linear and len(self._linear) > 1 and self._widens(index):
                self._kinds[index] = LM_HEAD

    def _widens(self, linear: int) -> bool:
        """A vocabulary is wider than what it is projected from; a pooler is not."""
        weights = next(port for port, (p, _) in enumerate(self._graph.inputs[linear]) if self._graph.constant[p])
        source, output = self._graph.inputs[linear][weights]
        rows, columns = (self._graph.shape(source, output) or (0, 0))[-2:]
        k_last = self._graph.transposed(linear, weights) == bool(weights)
        k, n = (columns, rows) if k_last else (rows, columns)
        return n > k
