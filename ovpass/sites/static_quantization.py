"""Find activations with static quantization, as NNCF's `quantize` and ONNX's QDQ format write it.

If the weights are 8-bit with one scale per channel and no zero point, plugins multiply integers, and nothing is left
to quantize dynamically. With any other weights the FakeQuantize is floating-point arithmetic, and the MatMul is a
site like any other (both measured, on CPU and GPU).
"""

from __future__ import annotations

import math

from ovpass.formats import FORMATS
from ovpass.formats.chain import WeightChain
from ovpass.ir.graph import Graph

_LEVELS = (15, 16, 255, 256)
_SHAPE_ONLY = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Convert")
_ARITHMETIC = ("Multiply", "Add", "Subtract")


def static_path(graph: Graph, activation: int, weights: WeightChain) -> tuple[int, ...]:
    """The ops from a FakeQuantize to the op `activation` where plugins multiply integers; empty where they do not."""
    if not FORMATS[weights.format].affine or weights.zero_points or weights.element_type not in ("i8", "u8"):
        return ()
    if any(scale.groups != 1 for scale in weights.scales):
        return ()
    path = [activation]
    while graph.types[path[-1]] != "FakeQuantize":
        before = _before(graph, path[-1])
        if before is None:
            return ()
        path.append(before)
    return tuple(reversed(path)) if _is_static(graph, path[-1]) else ()


def _before(graph: Graph, index: int) -> int | None:
    """What an op reads that changes no more than shape, type, or scale and offset of the whole tensor."""
    kind, sources = graph.types[index], [producer for producer, _ in graph.inputs[index]]
    if kind in _SHAPE_ONLY:
        return sources[0]
    if kind in _ARITHMETIC:
        data = [source for source in sources if not graph.constant[source]]
        if len(data) == 1 and all(_is_number(graph, source) for source in sources if source != data[0]):
            return data[0]
    return None


def _is_static(graph: Graph, index: int) -> bool:
    ranges = [producer for producer, _ in graph.inputs[index][1:]]
    return graph.levels(index) in _LEVELS and all(graph.constant[i] and _is_number(graph, i) for i in ranges)


def _is_number(graph: Graph, index: int) -> bool:
    return math.prod(graph.shape(index) or ()) == 1
