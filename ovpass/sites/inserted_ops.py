"""Recognize the ops that ovpass inserts, by name."""

from __future__ import annotations

from ovpass.ir.graph import Graph, Output

MARK = "/ovpass."
"""Part of the name of every inserted op."""


def bypasses(graph: Graph) -> tuple[set[int], dict[Output, Output]]:
    """What ovpass has put before activations: the ops, and what is read in place of their outputs without them."""
    inserted = {i for i in range(len(graph.types)) if MARK in graph.name(i)}
    read = {source for i, sources in enumerate(graph.inputs) if i not in inserted for source in sources}
    return inserted, {output: _original(graph, output, inserted) for output in read if output[0] in inserted}


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
    for producer, output in frontier:
        if producer not in inserted:
            return producer, output
        frontier += [o for o in graph.inputs[producer] if not graph.constant[o[0]] and o not in frontier]
    raise ValueError(f"{graph.name(source[0])} reads only ops that ovpass inserted")
