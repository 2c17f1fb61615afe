"""Read what OpenVINO's pass tracer writes: the only view of the bodies of If and Loop."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ovpass.verification.observation import SeenMatMul
from ovpass.verification.runtime_model import last_group

TRACED_PASS = "DynamicQuantizeFullyConnected"
TRACING = {"OV_ENABLE_SERIALIZE_TRACING": TRACED_PASS}
"""Environment in which the release build writes the graph after that pass to the working directory."""


def traced_matmuls(folder: Path) -> list[SeenMatMul]:
    """The FullyConnected nodes of the last graph written for each (sub)graph."""
    found: dict[str, SeenMatMul] = {}
    for path in sorted(folder.glob(f"*{TRACED_PASS}.xml")):
        for graph in ElementTree.parse(path).iter():
            if graph.find("layers") is not None:
                found.update((matmul.names[0], matmul) for matmul in _traced_graph(graph))
    return list(found.values())


def _traced_graph(graph: Element) -> Iterable[SeenMatMul]:
    layers = {layer.get("id", ""): layer for layer in graph.iterfind("layers/layer")}
    source = {
        (edge.get("to-layer", ""), edge.get("to-port", "")): edge.get("from-layer", "")
        for edge in graph.iterfind("edges/edge")
    }
    for key, layer in layers.items():
        if layer.get("type", "").startswith("FullyConnected"):
            before = layers[source[key, "0"]]
            group = _group(before)
            output = before.find("output/port")
            activation = "" if output is None else output.get("precision", "").lower()
            quantizer = before.get("name") if group is not None else None
            yield SeenMatMul("FullyConnected", (layer.get("name", ""),), activation, group, quantizer)


def _group(layer: Element) -> int | None:
    data = layer.find("data")
    if layer.get("type") != "DynamicQuantize" or data is None:
        return None
    return last_group(data.get("group_sizes", ""))
