"""Mixtures of experts in public ops.

The frontend computes the experts that each token selects with GatherMatmul, an op that cannot be in an IR:
[selected, tokens, N] = A [1 or selected, tokens, K] x B [experts, N, K] by indices [tokens, selected]. Here every token
goes through every expert, and those that it does not select get a weight of 0.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.nodes import constant, integers, of_type, redirect, sources

_OP = "GatherMatmul"
_INDICES = 2


def expand_experts(model: ov.Model, *, normalize: bool) -> int:
    """Replace every GatherMatmul; returns how many blocks have experts.

    With `normalize` the weights of a token's experts are made to sum up to 1.
    """
    gathers = list(of_type(model, _OP))
    routers = [sources(gather.input_value(_INDICES), "Reshape", "Convert") for gather in gathers]
    for gather, indices in zip(gathers, routers, strict=True):
        experts = int(gather.input_value(1).get_shape()[0])
        # Shapes fit again when all of the block is rewritten.
        product = op.matmul(op.parameter([-1, -1, -1]), gather.input_value(1), False, True)
        product.set_friendly_name(gather.get_friendly_name())
        data = gather.input_value(0)
        alone = data.get_partial_shape()[0] == ov.Dimension(1)
        product.input(0).replace_source_output(op.tile(data, constant(experts, 1, 1)).output(0) if alone else data)
        redirect(gather.output(0), product.output(0))
        _widen(product, indices, experts, normalize=normalize)
    return len({indices.get_node().get_friendly_name() for indices in routers})


def _widen(product: ov.Node, indices: ov.Output, experts: int, *, normalize: bool) -> None:
    """Let what follows have an axis of all experts where it had one of those that are selected."""
    selected = int(indices.get_partial_shape()[-1].get_length())
    queue = [product.output(0)]
    while queue:
        for port in list(queue.pop().get_target_inputs()):
            node = port.get_node()
            if node.get_type_name() in ("MatMul", "ReduceSum", _OP):
                continue
            shape = integers(node.input_value(1)) if node.get_type_name() == "Reshape" else None
            if shape is not None and len(shape) > 2 and shape[-2] == selected:
                shape[-2] = experts
                node.input(1).replace_source_output(constant(*shape).output(0))
            elif node.get_type_name() == "Multiply":
                _spread(node.input(1 - port.get_index()), indices, experts, normalize=normalize)
            queue.append(node.output(0))


def _spread(weights: ov.Input, indices: ov.Output, experts: int, *, normalize: bool) -> None:
    """Let the weights of the selected experts [1, tokens, selected, 1] be those of all."""
    selected = int(indices.get_partial_shape()[-1].get_length())
    shape = weights.get_partial_shape()
    if len(shape) != 4 or shape[2] != ov.Dimension(selected) or shape[3] != ov.Dimension(1):
        return
    probabilities = op.reshape(indices.get_node().input_value(0), constant(1, -1, experts, 1), False)
    none = op.multiply(probabilities, op.constant(np.float32(0)))
    places = op.reshape(indices, constant(1, -1, selected, 1), False)
    chosen = weights.get_source_output()
    if normalize:
        chosen = op.divide(chosen, op.reduce_sum(chosen, constant(2), True)).output(0)
    whole = op.scatter_elements_update(none, places, chosen, op.constant(np.int64(2)))
    weights.replace_source_output(whole.output(0))
