"""Recognize the ops that ovpass inserts, by name."""

from __future__ import annotations

from ovpass.ir.graph import Graph

MARK = "/ovpass."
"""Part of the name of every inserted op."""


def without_inserted(graph: Graph) -> Graph:
    """The graph with readers of inserted ops reading what those were put behind; the graph itself if there are none."""
    # Weights stay as they are: what was changed in them leads nowhere else.
    inserted = {i for i, constant in enumerate(graph.constant) if not constant and MARK in graph.name(i)}
    if not inserted:
        return graph
    types = ["Inserted" if i in inserted else kind for i, kind in enumerate(graph.types)]
    inputs = [
        [] if i in inserted else [_original(graph, source, inserted) for source in sources]
        for i, sources in enumerate(graph.inputs)
    ]
    return graph.rewired(types, inputs)


def _original(graph: Graph, source: tuple[int, int], inserted: set[int]) -> tuple[int, int]:
    """The first activation upstream that was there before, breadth first."""
    frontier = [source]
    while frontier[0][0] in inserted:
        producer, _ = frontier.pop(0)
        frontier += [other for other in graph.inputs[producer] if not graph.constant[other[0]]]
    return frontier[0]
