"""Build all inputs of a language model or an encoder from token ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.tokenizer import Ids
from ovpass.ir.files import IrFile
from ovpass.verification.inputs import InputSpec, input_specs, is_cache, make_inputs

IDS = "input_ids"
LOGITS = "logits"
_EMBEDDED = "inputs_embeds"
_EMBEDDINGS = "openvino_text_embeddings_model.xml"
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
_WAY_OUT = "'ovpass evaluate --inputs FILE.npz' compares it on your own inputs"


class TokenFeed:
    """Makes the inputs of `model` for a sequence of ids: [1, tokens], a mask of ones, positions in order.

    A model that takes embeddings, as the language model of one for pictures does, gets them from the model of
    embeddings in its folder `home`.

    Raises:
        ModelError: for a model that takes no token ids, or something else that no text tells.
    """

    def __init__(self, model: ov.Model, name: str, home: Path | None = None) -> None:
        self._specs: Sequence[InputSpec] = input_specs(model)
        names = [spec.name for spec in self._specs]
        self._embeddings: ov.CompiledModel | None = None
        if IDS not in names and _EMBEDDED in names and home is not None and (home / _EMBEDDINGS).is_file():
            embeddings = IrFile(home / _EMBEDDINGS).read()
            self._embeddings = ov.Core().compile_model(embeddings, "CPU", _EXACT)
        elif IDS not in names:
            raise ModelError(f"{name}: has inputs {', '.join(names)}, not {IDS}; {_WAY_OUT}")
        known = () if self._embeddings is None else (_EMBEDDED,)
        beyond = [spec.name for spec in self._specs if _beyond_text(spec) and spec.name not in known]
        if beyond:
            raise ModelError(f"{name}: has inputs {', '.join(beyond)}, which a text does not give; {_WAY_OUT}")

    def __call__(self, ids: Ids) -> Mapping[str, npt.NDArray[Any]]:
        """The inputs for one sequence [tokens]."""
        inputs = dict(make_inputs(self._specs, len(ids)))
        if self._embeddings is None:
            inputs[IDS] = ids[None].astype(inputs[IDS].dtype)
        else:
            inputs[_EMBEDDED] = self._embeddings([ids[None]])[0]
        segments = {name: np.zeros_like(value) for name, value in inputs.items() if "type" in name}
        return {**inputs, **segments}  # one segment, as text has it

    def pieces(self, ids: Ids, tokens: int) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
        """The inputs for the sequence in pieces of `tokens`, for a model whose state holds the pieces before."""
        for start in range(0, len(ids), tokens):
            stop = min(start + tokens, len(ids))
            inputs = dict(self(ids[start:stop]))
            for name, value in inputs.items():
                if "mask" in name:
                    inputs[name] = np.ones((*value.shape[:-1], stop), value.dtype)
                elif "position" in name:
                    inputs[name] = value + value.dtype.type(start)
            yield inputs


def is_language_model(model: ov.Model) -> bool:
    """Whether the model predicts the next token: it has logits, and a cache or positions to go on from."""
    outputs = {name for port in model.outputs for name in port.get_names()}
    inputs = {name for port in model.inputs for name in port.get_names()}
    cached = any(name.startswith("past_key_values") or name in ("beam_idx", "position_ids") for name in inputs)
    return LOGITS in outputs and (bool(model.get_sinks()) or cached)


def _beyond_text(spec: InputSpec) -> bool:
    """Whether it holds values of another model: states of an encoder, embeddings, a picture."""
    return spec.element_type.startswith(("f", "bf")) and "mask" not in spec.name and not is_cache(spec)
