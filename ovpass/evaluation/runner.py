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
from ovpass.evaluation.windows import Window
from ovpass.support.formatting import last_line

Array = npt.NDArray[Any]


class Runner:
    """A model compiled once, asked window by window.

    Raises:
        ModelError: if the device does not compile it, or it takes no token ids.
    """

    def __init__(self, prepared: Prepared, name: str, device: str = "CPU") -> None:
        self._name = name
        self._feed = TokenFeed(prepared.model, name, prepared.home)
        named = [LOGITS in port.get_names() for port in prepared.model.outputs]
        self._logits = named.index(True) if True in named else 0
        self._request = compiled(prepared, name, device).create_infer_request()

    def logits(self, window: Window, extra: Mapping[str, Array] | None = None) -> Array:
        """The predictions of the window's scored tokens, [scored, vocabulary]; valid until the next call.

        Raises:
            ModelError: if the model fails, or gives no predictions for every token.
        """
        output = self.outputs(window, extra)[self._logits]
        logits = output[0] if output.ndim == 3 else output
        if logits.ndim != 2 or len(logits) != len(window.ids):
            raise ModelError(
                f"{self._name}: gives {output.shape} for {len(window.ids)} tokens, not predictions for each of them"
            )
        return np.asarray(logits[len(logits) - 1 - window.scored : -1])

    def outputs(self, window: Window, extra: Mapping[str, Array] | None = None) -> list[Array]:
        """All outputs for the window, each [1, tokens, ..]; valid until the next call."""
        try:
            self._request.reset_state()
            self._request.infer({**self._feed(window.ids), **(extra or {})}, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"{self._name}: fails on {len(window.ids)} tokens: {last_line(error)}") from error
        return [tensor.data for tensor in self._request.output_tensors]


def compiled(prepared: Prepared, name: str, device: str) -> ov.CompiledModel:
    """Compile for `device`.

    Raises:
        ModelError: with what the plugin says.
    """
    try:
        return ov.Core().compile_model(prepared.model, device, dict(prepared.properties))
    except RuntimeError as error:
        raise ModelError(f"{name}: does not compile on {device}: {last_line(error)}") from error
