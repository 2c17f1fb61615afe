"""Compute the last projection for the last token only, as OpenVINO GenAI does.

GenAI slices the input of the MatMul that makes the logits before it compiles a model, so on a device this MatMul sees
one token of a prompt, which is within the threshold of quantization. Where a model is quantized in its graph, the slice
has to come first.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.feeding import LOGITS

_BETWEEN = ("Add", "Convert", "Divide", "Multiply", "Tanh", "Transpose")
"""What can stand between the MatMul and the logits: a bias, a scale, the soft cap of Gemma."""
_TOKENS = 1
"""The axis of the tokens in [batch, tokens, hidden]."""


def project_last_token(model: ov.Model) -> ov.Model:
    """The same model, in place; without that MatMul, or with another rank, it stays as it is."""
    matmul = _projection(model)
    if matmul is not None and matmul.input_value(0).get_partial_shape().rank == ov.Dimension(3):
        start, stop, step, axis = (op.constant(np.array([value], np.int64)) for value in (-1, -2, -1, _TOKENS))
        matmul.input(0).replace_source_output(op.slice(matmul.input_value(0), start, stop, step, axis).output(0))
        model.validate_nodes_and_infer_types()
    return model


def _projection(model: ov.Model) -> ov.Node | None:
    result = next((result for result in model.results if LOGITS in result.output(0).get_names()), None)
    node = None if result is None else result.input_value(0).get_node()
    while node is not None and node.get_type_name() in _BETWEEN:
        node = node.input_value(0).get_node()
    return node if node is not None and node.get_type_name() == "MatMul" else None
