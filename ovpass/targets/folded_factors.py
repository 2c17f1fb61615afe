"""Products that a constant multiplies: plugins move the constant to the weights, which are then compressed no more.

The passes are the same for CPU and GPU, openvino/src/common/transformations/src/transformations/common_optimizations/:
align_eltwise_input_ranks.cpp gives the constant the rank of the product, lin_op_sequence_fusion.cpp moves it in front
of a bias, matmul_multiply_fusion.cpp multiplies the weights by it, unless that gives them more dimensions. So products
of rank 3 keep their factors where weights are matrices, and those of rank 2 do not. Measured on both plugins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ovpass.ir.graph import Graph, Shape
from ovpass.sites import CompressedMatMul
from ovpass.sites.constant_arithmetic import FACTORS, ConstantOp, constant_arithmetic

SOURCE = "matmul_multiply_fusion.cpp"
_REASON = "a constant multiplies or divides the product; the plugin folds it into the weights and decompresses them"
_RESHAPED = re.compile(r"Multiply>Reshape(>Convert)?$")
_HALVES = ("f16", "bf16")
_READABLE = ("f16", "f32", "f64")


def folded_factor(site: CompressedMatMul, _: int) -> str | None:
    """The refusal of a plugin that keeps the model's precision until the factor is folded."""
    return _REASON if _folds(site, site.compute_type) else None


def folded_factor_on_gpu(site: CompressedMatMul, _: int) -> str | None:
    """The refusal of the GPU plugin: it turns the model to f16 before, and reads one pattern of two scales.

    That is mul2_m in convert_fc_to_compressed.cpp: a factor for each output behind the Reshape of grouped weights. A
    single number is moved in front of the Reshape.
    """
    scales = [math.prod(site.graph.shape(op.constant) or ()) for op in _factors(site) if op.constant is not None]
    if max(scales, default=1) > 1 and _RESHAPED.search(site.chain):
        return None
    return _REASON if _folds(site, "f16") else None


def _factors(site: CompressedMatMul) -> list[ConstantOp]:
    return [op for op in constant_arithmetic(site.graph, site.index) if op.kind in FACTORS]


def _folds(site: CompressedMatMul, compute_type: str) -> bool:
    graph, factors = site.graph, _factors(site)
    if not factors:
        return False
    product, weights = graph.shape(site.index), graph.shape(*graph.inputs[site.index][1]) or ()
    scaled = graph.shape(factors[-1].index)
    if product is None or scaled is None or not len(product) == len(scaled) <= len(weights):
        return False
    shapes = [graph.shape(op.constant) or () for op in factors if op.constant is not None]
    if not all(_fits(shape, weights, graph.shape(*graph.inputs[site.index][0]), site.n) for shape in shapes):
        return False
    # Half-precision weights could overflow.
    return compute_type not in _HALVES or not _amplifies(graph, factors)


def _fits(factor: Shape, weights: Shape, activation: Shape | None, n: int) -> bool:
    """Whether the weights can take a factor of that shape: one number for each output, and none for each token."""
    if factor[-1:] not in ((), (1,), (n,)) or factor[-2:-1] not in ((), (1,)):
        return False
    return _has(weights, factor[:-2]) or _has(activation or (), factor[:-2])


def _has(shape: Shape, leading: Shape) -> bool:
    """Whether a factor's leading dimensions are those of the shape already: neither has to be broadcast to them."""
    own = shape[:-2]
    pairs = zip(reversed(leading), reversed(own), strict=False)
    return len(own) >= len(leading) and all(size in (1, present) for size, present in pairs)


def _amplifies(graph: Graph, factors: Sequence[ConstantOp]) -> bool:
    """Whether the factors come to one and the same number for all outputs, larger than 1."""
    product = 1.0
    for op in factors:
        if op.constant is not None:
            number = _number(graph, op.constant)
            if not number:
                return False
            product *= 1 / number if op.kind == "Divide" else number
    return abs(product) > 1


def _number(graph: Graph, index: int) -> float | None:
    """The value of a Constant that is the same throughout; None where there is more than one, or it is computed."""
    while graph.types[index] == "Convert":
        index = graph.inputs[index][0][0]
    readable = graph.types[index] == "Constant" and graph.element_type(index) in _READABLE
    if not readable or not math.prod(graph.shape(index) or ()):
        return None
    values = graph.values(index)
    return float(values.flat[0]) if (values == values.flat[0]).all() else None
