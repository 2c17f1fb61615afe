"""Compare the meaning of two texts by an encoder for sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import ModelError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.preparation import prepare_reference
from ovpass.evaluation.runner import compiled
from ovpass.evaluation.tokenizer import load_tokenizer
from ovpass.ir.model_config import context_length, read_config

_STATES = "last_hidden_state"


class SentenceEncoder:
    """The model in `folder`, run in f32: a text's vector is the mean of its last hidden states.

    So sentence-transformers pools all-MiniLM-L6-v2 and most others. Texts are cut at the model's context.

    Raises:
        ModelError: for a model that is no encoder.
        TextError: for a folder without tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        name = str(folder)
        prepared = prepare_reference(Candidate(name, folder))
        outputs = [port for port in prepared.model.outputs if _STATES in port.get_names()]
        if not outputs:
            raise ModelError(f"{name}: is no encoder of sentences: it has no output {_STATES}")
        self._output = outputs[0].get_index()
        self._feed = TokenFeed(prepared.model, name)
        self._tokenizer = load_tokenizer(prepared.home or folder)
        self._length = context_length(read_config(prepared.home or folder))
        self._request = compiled(prepared, name, "CPU").create_infer_request()

    def similarity(self, one: str, other: str) -> float:
        """The cosine of the two vectors."""
        a, b = self._vector(one), self._vector(other)
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))

    def _vector(self, text: str) -> npt.NDArray[Any]:
        ids = self._tokenizer.encode_at_once(text)
        ends = len(self._tokenizer.prefix) + len(self._tokenizer.suffix)
        kept = ids if self._length is None else ids[: self._length - ends]
        self._request.infer(self._feed(np.concatenate([self._tokenizer.prefix, kept, self._tokenizer.suffix])))
        return np.asarray(self._request.get_output_tensor(self._output).data[0].mean(0), np.float64)
