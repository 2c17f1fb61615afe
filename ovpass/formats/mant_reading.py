"""M-ANT weights as they lie in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ovpass.formats.base import Encoding
from ovpass.formats.chain import WeightChain
from ovpass.formats.mant_encoding import NAME, MantWeights
from ovpass.formats.packing import values_of

if TYPE_CHECKING:
    import openvino as ov

    from ovpass.ir.graph import Graph

_CODES, _ADD, _GATHER, _MULTIPLY = 0, 2, 3, 4
"""Places in the path of a chain that `recognize` found."""


def read_mant(graph: Graph, chain: WeightChain, shape: tuple[int, ...], *, transposed: bool) -> MantWeights:
    """The weights [..., N, K] of a chain, whose MatMul reads them in `shape`, [..., K, N] if `transposed`."""
    path = chain.path
    row = _behind(graph.node(graph.inputs[path[_ADD]][1][0]).input_value(0))
    table = _behind(graph.node(path[_GATHER]).input_value(0))
    codes, types = values_of(graph.node(path[_CODES])), values_of(row)
    scale = np.asarray(_behind(graph.node(path[_MULTIPLY]).input_value(1)).data, np.float32)
    *batch, n, k = [*shape[:-2], shape[-1], shape[-2]] if transposed else shape
    groups = types.size // (n * int(np.prod(batch, dtype=np.int64)))
    stored = [*batch, groups, k // groups, n] if transposed else [*batch, n, groups, k // groups]
    values = np.asarray(table.data, np.float32).reshape(-1)
    width = 2 ** int(chain.element_type[1:])
    coefficients = tuple(int(first - 2) for first in values.reshape(-1, width)[:, 1])
    encoding = Encoding(NAME, chain.element_type, None if groups == 1 else k // groups, table=coefficients)
    each = [*stored[:-2], 1, stored[-1]] if transposed else [*stored[:-1], 1]
    blocks, own, steps = codes.reshape(stored), types.reshape(each), scale.reshape(each)
    if transposed:
        blocks, own, steps = (np.moveaxis(part, -1, -3) for part in (blocks, own, steps))
    return MantWeights(
        encoding,
        np.ascontiguousarray(blocks).reshape(*batch, n, k).astype(np.uint8),
        np.ascontiguousarray(steps[..., 0]),
        types=np.ascontiguousarray(own[..., 0]).astype(np.uint8),
    )


def _behind(output: ov.Output) -> ov.Node:
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node
