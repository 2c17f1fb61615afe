"""Static quantization on plugins: they multiply integers and quantize nothing dynamically.

Measured on CPU and GPU with every weight format and with the ops that can stand between FakeQuantize and MatMul.
"""

from __future__ import annotations

from ovpass.sites import CompressedMatMul

_REASON = "the model already quantizes this activation, with static ranges; the plugin runs an integer MatMul"


def static_on_cpu(site: CompressedMatMul, _: int) -> str | None:
    """Whatever stands between."""
    return _REASON if site.static_path else None


def static_on_gpu(site: CompressedMatMul, _: int) -> str | None:
    """Not behind a Reshape to a shape with more than one dynamic dimension: the product is then in floating point."""
    graph = site.graph
    shapes = [graph.shape(index) for index in site.static_path if graph.types[index] == "Reshape"]
    hidden = any(shape is None or shape.count(-1) > 1 for shape in shapes)
    return _REASON if site.static_path and not hidden else None
