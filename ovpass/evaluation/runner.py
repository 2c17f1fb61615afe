"""Run a compiled model on windows of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.feeding import LOGITS, TokenFeed
from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.tokenizer import Ids
from ovpass.evaluation.windows import Window
from ovpass.support.formatting import last_line

Array = npt.NDArray[Any]


class Runner:
    """A model compiled once, asked window by window: in one go, or in pieces of `chunk` tokens with what it has kept.

    Raises:
        ModelError: if the device does not compile it, or it takes no token ids.
    """

    def __init__(self, prepared: Prepared, name: str, device: str = "CPU") -> None:
        self._name, self._chunk = name, prepared.chunk
        self._feed = TokenFeed(prepared.model, name, prepared.home)
        named = [LOGITS in port.get_names() for port in prepared.model.outputs]
        self._logits = named.index(True) if True in named else 0
        self._request = compiled(prepared, name, device).create_infer_request()

    def logits(self, window: Window, extra: Mapping[str, Array] | None = None) -> Array:
        """The predictions of the window's scored tokens, [scored, vocabulary]; valid until the next call.

        Raises:
            ModelError: if the model fails, or gives no predictions for every token.
        """
        logits = self._whole(window, extra) if self._chunk is None else self._piecewise(window, self._chunk, extra)
        return scored_rows(logits, window, self._name)

    def following(self, ids: Ids) -> Array:
        """The prediction of the token that follows `ids` [tokens]: [vocabulary]; valid until the next call."""
        self._request.reset_state()
        return np.asarray(_rows(self._infer(self._feed(ids), len(ids))[self._logits])[-1])

    def _whole(self, window: Window, extra: Mapping[str, Array] | None) -> Array:
        return self.outputs(window, extra)[self._logits]

    def _piecewise(self, window: Window, tokens: int, extra: Mapping[str, Array] | None) -> Array:
        self._request.reset_state()
        return np.concatenate(
            [
                _rows(self._infer({**inputs, **(extra or {})}, len(window.ids))[self._logits]).copy()
                for inputs in self._feed.pieces(window.ids, tokens)
            ]
        )

    def outputs(self, window: Window, extra: Mapping[str, Array] | None = None) -> list[Array]:
        """All outputs for the window, each [1, tokens, ..]; valid until the next call."""
        self._request.reset_state()
        return self._infer({**self._feed(window.ids), **(extra or {})}, len(window.ids))

    def _infer(self, inputs: Mapping[str, Array], tokens: int) -> list[Array]:
        try:
            self._request.infer(inputs, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"{self._name}: fails on {tokens} tokens: {last_line(error)}") from error
        return [tensor.data for tensor in self._request.output_tensors]


def scored_rows(logits: Array, window: Window, name: str) -> Array:
    """The predictions of the scored tokens, [scored, vocabulary], of a model's output, with or without a batch of one.

    Raises:
        ModelError: if there is not one prediction per token, naming the model.
    """
    rows = _rows(logits)
    if rows.ndim != 2 or len(rows) != len(window.ids):
        raise ModelError(f"{name}: returns {rows.shape} for {len(window.ids)} tokens, not one prediction per token")
    return np.asarray(rows[len(rows) - 1 - window.scored : -1])


def _rows(output: Array) -> Array:
    """[tokens, vocabulary] of an output with or without a batch of one."""
    return output[0] if output.ndim == 3 else output


def compiled(prepared: Prepared, name: str, device: str) -> ov.CompiledModel:
    """Compile for `device`.

    Raises:
        ModelError: with what the plugin says.
    """
    try:
        return ov.Core().compile_model(prepared.model, device, dict(prepared.properties))
    except RuntimeError as error:
        raise ModelError(f"{name}: does not compile on {device}: {last_line(error)}") from error
