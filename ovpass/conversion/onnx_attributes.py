"""Read the quantization attributes of an ONNX file's MatMuls, by OpenVINO's layer names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovpass.sites.source_attributes import SourceAttributes

_DYNAMIC = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
_RECORDED = {"MatMulNBits": ("bits", "block_size", "accuracy_level"), "DequantizeLinear": ("block_size",)}
_BODIES = {"then_branch": "then_body", "else_branch": "else_body", "body": "body"}
# What the frontend calls the MatMul of a node that has a bias: ours, see onnx_names, and its own for Gemm.
_SUFFIXES = ("", "/MatMul", "/WithoutBiases")


@dataclass(frozen=True)
class Request:
    """A node that multiplies by quantized weights, and what it asks for; `names` are those its MatMul can have."""

    names: tuple[str, ...]
    entry: Mapping[str, Any]


def read_requests(source: Path) -> list[Request]:
    """Those of an ONNX file, sub-graphs included, without reading weights that lie in other files.

    Raises:
        ImportError: without the onnx package.
    """
    import onnx  # noqa: PLC0415 - an extra

    return list(_requests(onnx.load(source, load_external_data=False).graph, [""], {}))


def assign(requests: Sequence[Request], sites: Collection[str]) -> tuple[SourceAttributes, list[str]]:
    """The requests by name of their site, and the names of those that have none."""
    found: dict[str, Mapping[str, Any]] = {}
    missed: list[str] = []
    for request in requests:
        name = next((name for name in request.names if name in sites and name not in found), None)
        if name is None:
            missed.append(request.names[0])
        else:
            found[name] = request.entry
    return found, missed


def _requests(graph: Any, paths: Sequence[str], outer: Mapping[str, Any]) -> Iterator[Request]:
    """Those of a graph that can be at any of `paths`; `outer` are the producers of what it can read from outside."""
    producers = {**outer, **{output: node for node in graph.node for output in node.output}}
    for node in graph.node:
        own = [name for name in (node.name, *node.output) if name]
        entry = _entry(node, producers)
        if entry is not None:
            yield Request(tuple(path + name + end for end in _SUFFIXES for path in paths for name in own), entry)
        for attribute in node.attribute:
            if attribute.HasField("g") and attribute.name in _BODIES:
                inner = [f"{path}{name}/{_BODIES[attribute.name]}/" for path in paths for name in own]
                yield from _requests(attribute.g, inner, producers)


def _entry(node: Any, producers: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a node asks for; None where it does not multiply by quantized weights."""
    if node.op_type in _DYNAMIC:
        return {"op": node.op_type}
    if node.op_type == "MatMulNBits":
        return _recorded(node)
    if node.op_type not in ("MatMul", "Gemm"):
        return None
    weights = producers.get(node.input[1])
    while weights is not None and weights.op_type == "Transpose":
        weights = producers.get(weights.input[0])
    if weights is None or weights.op_type != "DequantizeLinear":
        return None
    codes = producers.get(weights.input[0])
    return _recorded(weights) if codes is None or codes.op_type == "Constant" else None


def _recorded(node: Any) -> dict[str, Any]:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    return {"op": node.op_type, **{name: attributes[name] for name in _RECORDED[node.op_type] if name in attributes}}
