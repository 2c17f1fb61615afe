"""Convert the element-wise group index (g_idx) of MatMulNBits to blocks.

OpenVINO's ONNX frontend repeats scales and zero points for every element of K. Its CPU plugin does not survive that:
the first inference ends the process with SIGFPE (docs/upstream/element-scales.md).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.errors import ModelError
from ovpass.formats.chain import Operand
from ovpass.formats.packing import Array, constant_of, from_bytes, stored_bytes, type_name
from ovpass.ir.constant_folding import evaluate
from ovpass.sites import CompressedMatMul

_CHAINS = ("Convert>Multiply", "Convert>Subtract>Multiply")
_SMALLEST = 16


def regroup(site: CompressedMatMul, source: Path) -> None:
    """Give the weights of `site` one scale a block, the same numbers, where they have one for each element of K.

    Raises:
        ModelError: if elements of one block are not neighbours; `source` is the file that it names.
    """
    chain = site.weights
    if 1 not in (site.weight_group_size, site.zero_point_group_size) or chain.pattern not in _CHAINS:
        return
    stored = site.graph.node(chain.path[0])
    operands = [_values(site, operand) for operand in (*chain.zero_points, *chain.scales)]
    size = _block([values for values in operands if values.shape == (site.n, site.k)])
    if size % _SMALLEST:
        raise ModelError(
            f"{source}: {site.name}: its blocks are not contiguous (g_idx), and OpenVINO crashes on such "
            "weights on a CPU; quantize the model without act-order"
        )
    codes = from_bytes(stored_bytes(stored), type_name(stored), (site.n, site.k // size, size))
    codes.set_friendly_name(stored.get_friendly_name())
    compute = site.matmul.get_output_element_type(0)
    weights = op.convert(codes, compute)
    *shifts, scale = (values[:, ::size, None] if values.size > 1 else values for values in operands)
    for shift in shifts:
        weights = op.subtract(weights, op.convert(_zero_point(shift, type_name(stored)), compute))
    weights = op.multiply(weights, op.constant(np.ascontiguousarray(scale.astype(compute.to_dtype()))))
    whole = op.reshape(weights, op.constant(np.array([site.n, site.k], np.int64)), False)
    site.matmul.input(site.weights_input).replace_source_output(whole.output(0))


def _values(site: CompressedMatMul, operand: Operand) -> Array:
    return evaluate(site.graph.node(site.weights.path[operand.step]).input_value(operand.port))


def _block(operands: list[Array]) -> int:
    """The largest number of neighbours, in equal blocks, that share all values in every row."""
    changes = np.any([(values[:, 1:] != values[:, :-1]).any(axis=0) for values in operands], axis=0)
    return int(np.gcd.reduce([changes.size + 1, *(np.flatnonzero(changes) + 1)]))


def _zero_point(values: Array, weights: str) -> ov.Node:
    """An integer of the weights' own type where it is one, as in the file."""
    whole = (
        weights in ("u4", "u8") and not (values % 1).any() and values.min() >= 0 and values.max() < 2 ** int(weights[1])
    )
    return constant_of(values.astype(np.int64) if whole else values, weights if whole else "f32")
