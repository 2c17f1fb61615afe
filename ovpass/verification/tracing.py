"""Read the graph that OpenVINO's pass tracer writes, the only view of If and Loop bodies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ovpass.verification.observation import TRACED_PASS, ObservedMatMul
from ovpass.verification.original_names import Readers, last_group, originals

_OTHERS = ("Gemm", "MatMul")
"""Products that the plugin does not quantize the activations of."""


def traced_matmuls(folder: Path, readers: Readers) -> list[ObservedMatMul]:
    """The products of the graph and its bodies, as last written to `folder`: FullyConnected, and what became none."""
    found: dict[str, ObservedMatMul] = {}
    for path in sorted(folder.glob(f"*{TRACED_PASS}.xml")):
        for prefix, graph in _graphs("", ElementTree.parse(path).getroot()):
            found.update(_traced_graph(prefix, graph, readers))
    return list(found.values())


def _graphs(prefix: str, graph: Element) -> Iterator[tuple[str, Element]]:
    """The graph and the bodies in it, each with the path to it."""
    yield prefix, graph
    for layer in graph.iterfind("layers/layer"):
        for body in layer:
            if body.find("layers") is not None:
                yield from _graphs(f"{prefix}{layer.get('name')}/{body.tag}/", body)


def _traced_graph(prefix: str, graph: Element, readers: Readers) -> Iterator[tuple[str, ObservedMatMul]]:
    layers = {layer.get("id", ""): layer for layer in graph.iterfind("layers/layer")}
    source = {
        (edge.get("to-layer", ""), edge.get("to-port", "")): edge.get("from-layer", "")
        for edge in graph.iterfind("edges/edge")
    }
    for key, layer in layers.items():
        kind, name = layer.get("type", ""), f"{prefix}{layer.get('name')}"
        if kind in _OTHERS:
            yield name, ObservedMatMul("Gemm", tuple(originals(name, readers)), "", None, None)
        elif kind.startswith("FullyConnected"):
            before = layers[source[key, "0"]]
            group = _group(before)
            output = before.find("output/port")
            activation = "" if output is None else output.get("precision", "").lower()
            # Quantizers of one activation in one group size are one in the compiled model.
            quantizer = (
                None if group is None else f"{prefix}{layers[source[before.get('id', ''), '0']].get('name')}/{group}"
            )
            yield name, ObservedMatMul("FullyConnected", tuple(originals(name, readers)), activation, group, quantizer)


def _group(layer: Element) -> int | None:
    data = layer.find("data")
    if layer.get("type") != "DynamicQuantize" or data is None:
        return None
    return last_group(data.get("group_sizes", ""))
