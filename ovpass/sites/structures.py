"""Find structures that a plugin fuses into one op of its own: experts and linear attention.

The patterns follow the passes ConvertTiledMoeBlockTo3GatherMatmuls and GatedDeltaNetFusion of
openvino/src/common/transformations, which match the exports of optimum-intel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ovpass.ir.graph import Graph

Pattern: TypeAlias = "tuple[str, tuple[Pattern, ...]]"
"""The type of an op, and patterns each of which one of its inputs has to match."""


def _op(kind: str, *inputs: Pattern) -> Pattern:
    return kind, inputs


# Every expert gets all tokens; a router's weights, zero for those not chosen, are multiplied in before the sum.
_TILED = _op("Reshape", _op("Tile", _op("Reshape")))
_HIDDEN = _op("Multiply", _op("Swish", _op("MatMul", _TILED)), _op("MatMul", _TILED))
_ANSWERS = _op("Reshape", _op("MatMul", _HIDDEN))
_ROUTED = _op("Reshape", _op("Transpose", _op("ScatterElementsUpdate")))
_BETWEEN = ("ReduceSum", "Multiply", "Reshape", "MatMul", "Swish")
_EXPERTS = tuple(
    _op("ReduceSum", _op("Multiply", _ANSWERS, weights)) for weights in (_ROUTED, _op("Unsqueeze", _ROUTED))
)

# One token of a gated delta rule: the state decays, and is corrected by what it says of the key.
_DECAYED = _op("Multiply", _op("Unsqueeze", _op("Exp")))
_RECALLED = _op("ReduceSum", _op("Multiply", _DECAYED))
_CORRECTION = _op("Multiply", _op("Unsqueeze", _op("Multiply", _op("Subtract", _RECALLED))))
_DELTA_RULE = _op("ScatterUpdate", _op("ReduceSum", _op("Multiply", _op("Add", _DECAYED, _CORRECTION))))


def fused_experts(graph: Graph) -> set[int]:
    """The MatMuls of experts stacked in 3-D weights, with their router."""
    ends = [end for pattern in _EXPERTS for end in _matching(graph, pattern)]
    reached = graph.upstream(ends, lambda i: graph.types[i] in _BETWEEN)
    return {i for i in reached if graph.types[i] == "MatMul"}


def has_linear_attention(graph: Graph) -> bool:
    """Whether a Loop of the graph is a gated delta rule, as in Qwen3-Next."""
    bodies = (body for i, kind in enumerate(graph.types) if kind == "Loop" for _, body in graph.bodies(i))
    return any(True for body in bodies for _ in _matching(body, _DELTA_RULE))


def _matching(graph: Graph, pattern: Pattern) -> Iterator[int]:
    return (i for i, kind in enumerate(graph.types) if kind == pattern[0] and _matches(graph, i, pattern))


def _matches(graph: Graph, index: int, pattern: Pattern) -> bool:
    kind, inputs = pattern
    return graph.types[index] == kind and all(
        any(_matches(graph, producer, wanted) for producer, _ in graph.inputs[index]) for wanted in inputs
    )
