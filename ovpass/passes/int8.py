"""Insert per-token quantization that plugins fuse into an int8 MatMul.

    m  = max(floor, max|x| along K)
    xq = FakeQuantize(x / m, -1 .. 1, 255 levels)
    y  = MatMul(xq, weights) * m

OpenVINO's low-precision transformations turn this into an i8 x i8 FullyConnected on CPU and GPU. They move the step of
1/127 from the FakeQuantize to the scales of the product, so that no node of the graph multiplies by it. The floor on
GPUs is the GPU kernel's, 0.003; a smaller one overflows 1 / m in half precision. The CPU's floor only avoids 0 / 0.
docs/experiments/int8-forms.md compares this form with other forms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.ir.graph import Graph
from ovpass.passes.editing import append, feed, mark, marker
from ovpass.passes.locate import locate
from ovpass.sites import CompressedMatMul

GPU_FLOOR = 0.003
"""Of the GPU plugin's kernel."""


@dataclass(frozen=True)
class Int8:
    """Give each of `sites` an int8 activation; sites that read one activation share its quantization.

    `floor` is the largest value that a token is taken to have at least: the kernel's own. `scales_apart` keeps the
    scales of the last products off the way to the model's outputs, where the CPU plugin computes in f32 whatever it
    reaches.
    """

    sites: tuple[str, ...]
    floor: float = GPU_FLOOR
    scales_apart: bool = False
    name: ClassVar[str] = "int8"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Insert a quantizer for each activation and a rescale after each MatMul."""
        shared: dict[str, list[CompressedMatMul]] = defaultdict(list)
        for site in locate(model, self.sites):
            shared[site.group_id].append(site)
        last = {graph: _last_products(graph) for graph in {site.graph for sites in shared.values() for site in sites}}
        for sites in shared.values():
            codes, scale = _quantize(sites[0], self.floor)
            if self.scales_apart and any(site.index in last[site.graph] for site in sites):
                scale = _apart(sites[0], scale)
            for site in sites:
                feed(site, codes.output(0))
                _rescale(site.matmul, scale)
        return {"sites": len(self.sites), "quantizers": len(shared)}


def _quantize(site: CompressedMatMul, floor: float) -> tuple[ov.Node, ov.Node]:
    """Multiples of 1/127 from -1 to 1, and what they were divided by: the largest of each token, [.., 1]."""
    x, name = site.activation, marker(site.matmul)
    dtype = _dtype(site)
    last = name(op.constant(np.array([-1], dtype=np.int64)), "axis")
    largest = name(op.reduce_max(name(op.abs(x), "abs"), last, keep_dims=True), "largest")
    # Not Maximum: a Clamp is fused into the ReduceMax, by both plugins.
    limits = np.finfo(dtype)
    scale = name(op.clamp(largest, max(floor, float(limits.tiny)), float(limits.max)), "scale")
    low, high = name(op.constant(dtype(-1)), "low"), name(op.constant(dtype(1)), "high")
    scaled = name(op.divide(x, scale), "scaled")
    return name(op.fake_quantize(scaled, low, high, low, high, 255), "codes"), scale


def _last_products(graph: Graph) -> set[int]:
    """MatMuls on which an output depends without another MatMul between."""
    results = [i for i, kind in enumerate(graph.types) if kind == "Result"]
    reached = graph.upstream(results, lambda i: graph.types[i] != "MatMul")
    return {i for i in reached if graph.types[i] == "MatMul"}


def _apart(site: CompressedMatMul, scale: ov.Node) -> ov.Node:
    """The scale, by way of a MatMul.

    Compiling for bf16, the CPU plugin leaves in f32 all that it finds upstream of an output before it meets a MatMul.
    A rescale would lead it past the product, through the scale, up the whole residual stream. Times 1 is exact; a
    vector rather than a 1 x 1 matrix, which would give the scale, and by it the output, a layout to be undone.
    """
    name = marker(site.matmul)
    one = name(op.constant(np.ones(1, _dtype(site))), "one")
    last = name(op.constant(np.array([-1], dtype=np.int64)), "apart_axis")
    return name(op.unsqueeze(name(op.matmul(scale, one, False, False), "product"), last), "apart")


def _rescale(matmul: ov.Node, scale: ov.Node) -> None:
    append(matmul, lambda output: mark(op.multiply(output, scale), matmul, "rescale"))


def _dtype(site: CompressedMatMul) -> type[np.float16 | np.float32]:
    return np.float16 if site.activation.get_element_type() == ov.Type.f16 else np.float32
