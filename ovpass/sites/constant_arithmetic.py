"""The biases and factors behind a product: arithmetic with constants, each the only reader of what it reads."""

from __future__ import annotations

from dataclasses import dataclass

from ovpass.ir.graph import Graph

FACTORS = ("Multiply", "Divide", "Negative")
"""The types of op that multiply by a constant."""

_COMMUTATIVE = ("Add", "Multiply")
_LEFT_ONLY = ("Subtract", "Divide")


@dataclass(frozen=True)
class ConstantOp:
    """An op of the graph by its index and type, and the constant it takes besides; None for Negative."""

    index: int
    kind: str
    constant: int | None


def constant_arithmetic(graph: Graph, product: int) -> list[ConstantOp]:
    """What follows an op in a row, as long as a single op reads it and takes nothing else but a constant."""
    found: list[ConstantOp] = []
    index = product
    while len(graph.consumers[index]) == 1:
        reader = graph.consumers[index][0]
        step = _step(graph, reader, index)
        if step is None:
            break
        found.append(step)
        index = reader
    return found


def _step(graph: Graph, reader: int, data: int) -> ConstantOp | None:
    kind, producers = graph.types[reader], [producer for producer, _ in graph.inputs[reader]]
    if kind == "Negative":
        return ConstantOp(reader, kind, None)
    if kind in _COMMUTATIVE or (kind in _LEFT_ONLY and producers[0] == data):
        other = producers[1 - producers.index(data)]
        return ConstantOp(reader, kind, other) if graph.constant[other] else None
    return None
