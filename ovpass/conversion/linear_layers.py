"""Find linear layers with floating-point weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.ir.graph import Graph
from ovpass.settings.selection import Candidates
from ovpass.sites.kinds import roles

_FLOATS = ("f16", "bf16", "f32", "f64")
_SHAPE_ONLY = ("Convert", "Reshape", "Transpose")


@dataclass(frozen=True)
class LinearLayer:
    """A MatMul with constant weights in floating point: `k` elements are summed over for each of `n` features.

    `weights` is the name of the Constant, which an embedding can share.
    """

    name: str
    kind: str
    layer: int | None
    k: int
    n: int
    weights: str


def find_linear_layers(graph: Graph) -> list[LinearLayer]:
    """In topological order. Bodies of If and Loop are not looked into: NNCF leaves those alone.

    Outer products (a K of 1), by which rotary embeddings get their angles, are none.
    """
    found = []
    by_index = roles(graph)
    for index in sorted(by_index):
        for port in (1, 0):
            source, output = graph.inputs[index][port]
            constant = _constant_behind(graph, source)
            shape = graph.shape(source, output)
            if constant is None or shape is None or len(shape) < 2:
                continue
            k_last = graph.transposed(index, port) == bool(port)
            n, k = shape[-2:] if k_last else shape[:-3:-1]
            if k == 1:
                continue
            role = by_index[index]
            found.append(LinearLayer(graph.name(index), role.kind, role.layer, k, n, graph.name(constant)))
            break
    return found


def _constant_behind(graph: Graph, index: int) -> int | None:
    while graph.types[index] in _SHAPE_ONLY:
        index = graph.inputs[index][0][0]
    return index if graph.types[index] == "Constant" and graph.element_type(index) in _FLOATS else None


def pick(layers: Sequence[LinearLayer], patterns: Sequence[str]) -> list[LinearLayer]:
    """The layers that any of the patterns picks; every one must pick some.

    Raises:
        SettingsError: for a pattern that picks none, with near misses.
    """
    candidates = Candidates(layers)
    picked = {id(layer) for pattern in patterns for layer in candidates.select(pattern)}
    return [layer for layer in layers if id(layer) in picked]
