"""The int8 lowering: quantize an activation per token in public ops that plugins fuse into an int8 MatMul.

    s  = max(0.003, max|x| along K) / 127
    xq = FakeQuantize(x / s, -128 .. 127, 256 levels)
    y  = MatMul(xq, weights) * s

OpenVINO's low-precision transformations turn this into an i8 x i8 FullyConnected on CPU and GPU. The floor is the
GPU kernel's own; a smaller one would overflow 1 / s in half precision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.passes.editing import append, feed, mark, marker
from ovpass.passes.locate import locate
from ovpass.sites import CompressedMatMul

_FLOOR = 0.003


@dataclass(frozen=True)
class Int8:
    """Give each of `sites` an int8 activation; sites that read one activation share its quantization."""

    sites: tuple[str, ...]
    name: ClassVar[str] = "int8"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Insert a quantizer for each activation and a rescale after each MatMul."""
        shared: dict[str, list[CompressedMatMul]] = defaultdict(list)
        for site in locate(model, self.sites):
            shared[site.group_id].append(site)
        for sites in shared.values():
            codes, scale = _quantize(sites[0])
            for site in sites:
                feed(site, codes.output(0))
                _rescale(site.matmul, scale)
        return {"sites": len(self.sites), "quantizers": len(shared)}


def _quantize(site: CompressedMatMul) -> tuple[ov.Node, ov.Node]:
    """Integer values -128 .. 127 in floating point, and the scale of each token, [.., 1]."""
    x, name = site.activation, marker(site.matmul)
    dtype = np.float16 if x.get_element_type() == ov.Type.f16 else np.float32
    last = name(op.constant(np.array([-1], dtype=np.int64)), "axis")
    largest = name(op.reduce_max(name(op.abs(x), "abs"), last, keep_dims=True), "largest")
    floored = name(op.maximum(largest, name(op.constant(dtype(_FLOOR)), "floor")), "floored")
    scale = name(op.multiply(floored, name(op.constant(dtype(1 / 127)), "to_step")), "scale")
    low, high = name(op.constant(dtype(-128)), "low"), name(op.constant(dtype(127)), "high")
    scaled = name(op.divide(x, scale), "scaled")
    return name(op.fake_quantize(scaled, low, high, low, high, 256), "codes"), scale


def _rescale(matmul: ov.Node, scale: ov.Node) -> None:
    append(matmul, lambda output: mark(op.multiply(output, scale), matmul, "rescale"))
