"""A model whose weights are inputs: compiled once, it runs with any encoding of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.compression.calibration import Inputs
from ovpass.compression.layer_weights import weights_of
from ovpass.conversion.linear_layers import LinearLayer
from ovpass.errors import ModelError
from ovpass.evaluation.feeding import LOGITS
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import compiled
from ovpass.support.formatting import last_line

Array = npt.NDArray[Any]
Values = Mapping[str, Array]
"""Weights [..., N, K] in f32 by the name of the layer."""


class WeightInputs:
    """A model with the weights of `layers` as inputs, on the CPU with f32 arithmetic.

    The model is used up. Weights that nothing else is said about are its own: all are held in memory in f32.

    Raises:
        ModelError: if it does not compile.
    """

    def __init__(self, model: ov.Model, xml: Path, layers: Sequence[LinearLayer]) -> None:
        self._name = str(xml)
        self._weights = weights_of(model, layers)
        self._own = {name: each.stored(each.values()) for name, each in self._weights.items()}
        for name, each in self._weights.items():
            parameter = op.parameter(each.output.get_shape(), each.output.get_element_type().to_dtype())
            parameter.output(0).set_names({_port(name)})
            each.replace(parameter.output(0))
            model.add_parameters([parameter])
        model.validate_nodes_and_infer_types()
        self.logits = next((i for i, port in enumerate(model.outputs) if LOGITS in port.get_names()), None)
        """The number of the output that predicts tokens; None for a model that predicts none."""
        self._request = compiled(Prepared(model, CLEAN, None, ""), self._name, "CPU").create_infer_request()

    def outputs(self, inputs: Inputs, values: Values) -> list[Array]:
        """All outputs for one sequence, with other weights for some layers; valid until the next call.

        Raises:
            ModelError: if the model fails.
        """
        weights = {**self._own, **{name: self._weights[name].stored(each) for name, each in values.items()}}
        self._request.reset_state()
        try:
            self._request.infer({**inputs, **{_port(name): each for name, each in weights.items()}}, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"{self._name}: fails with other weights: {last_line(error)}") from error
        return [tensor.data for tensor in self._request.output_tensors]


def _port(layer: str) -> str:
    return f"weights of {layer}"
