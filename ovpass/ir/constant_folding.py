"""The values of constant expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op
from openvino.passes import ConstantFolding, Manager

Array = npt.NDArray[Any]

_NARROW = frozenset("u1 u2 u3 u4 u6 u8 i4 i8".split())


def settle_shapes(output: ov.Output) -> None:
    """Give the Reshapes of a constant expression the shapes that they are known to make, as Constants.

    OpenVINO's ONNX frontend takes the shape of blocked weights from the activation: the weights then hang on the inputs
    of the model, though nothing about them is dynamic.
    """
    node = output.get_node()
    sources = node.input_values()
    if node.get_type_name() == "Reshape":
        shape, sources = node.get_output_partial_shape(0), sources[:1]
        if shape.is_static and node.input_value(1).get_node().get_type_name() != "Constant":
            known = op.constant(np.array(node.get_output_shape(0), dtype=np.int64))
            node.input(1).replace_source_output(known.output(0))
    for source in sources:
        settle_shapes(source)


def evaluate(output: ov.Output) -> Array:
    """The value of a constant expression, in f32 products as the plugins use it; its shapes are settled."""
    settle_shapes(output)
    folded = ov.Model([output], []).clone()
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(folded)
    node = folded.get_results()[0].input_value(0).get_node()
    if node.get_type_name() == "Constant":
        narrow = node.get_output_element_type(0).to_string() in _NARROW
        return np.array(node.get_data(dtype=np.int64) if narrow else node.data)
    # Codebook look-ups with 4-bit codes do not fold; a device computes them.
    compiled = ov.Core().compile_model(ov.Model([output], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([])[0])
