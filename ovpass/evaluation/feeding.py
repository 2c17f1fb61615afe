"""Feed a language model or an encoder with token ids, whatever else it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.tokenizer import Ids
from ovpass.verification.inputs import InputSpec, input_specs, make_inputs

IDS = "input_ids"
LOGITS = "logits"


class TokenFeed:
    """Makes the inputs of `model` for a sequence of ids: [1, tokens], a mask of ones, positions in order.

    Raises:
        ModelError: for a model that takes no token ids.
    """

    def __init__(self, model: ov.Model, name: str) -> None:
        self._specs: Sequence[InputSpec] = input_specs(model)
        if IDS not in {spec.name for spec in self._specs}:
            inputs = ", ".join(spec.name for spec in self._specs)
            raise ModelError(f"{name}: takes no {IDS} but {inputs}; give its inputs with --inputs FILE.npz")

    def __call__(self, ids: Ids) -> Mapping[str, npt.NDArray[Any]]:
        """The inputs for one sequence [tokens]."""
        inputs = dict(make_inputs(self._specs, len(ids)))
        inputs[IDS] = ids[None].astype(inputs[IDS].dtype)
        segments = {name: np.zeros_like(value) for name, value in inputs.items() if "type" in name}
        return {**inputs, **segments}  # one segment, as text has it


def is_language_model(model: ov.Model) -> bool:
    """Whether the model predicts the next token: it has logits, and a cache or positions to go on from."""
    outputs = {name for port in model.outputs for name in port.get_names()}
    inputs = {name for port in model.inputs for name in port.get_names()}
    cached = any(name.startswith("past_key_values") or name in ("beam_idx", "position_ids") for name in inputs)
    return LOGITS in outputs and (bool(model.get_sinks()) or cached)
