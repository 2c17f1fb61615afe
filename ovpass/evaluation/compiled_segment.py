"""One segment of a cut model, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import ModelError
from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.runner import compiled
from ovpass.evaluation.segments import Segment
from ovpass.ir.graph import Output
from ovpass.support.formatting import last_line

Array = npt.NDArray[Any]
Tensors = Mapping[Output, Array]
"""Tensors by the output of the whole model that they are."""


class CompiledSegment:
    """A segment on a device. Inputs that were added to its model follow on its own.

    Raises:
        ModelError: if it does not compile.
    """

    def __init__(self, segment: Segment, name: str, properties: Mapping[str, str], device: str = "CPU") -> None:
        self._name, self._segment = name, segment
        self._request = compiled(Prepared(segment.model, properties, None, ""), name, device).create_infer_request()

    def run(self, feed: Mapping[str, Array], tensors: Tensors, *added: Array) -> list[Array]:
        """All outputs for one window from a fresh state, valid until the next run.

        Raises:
            ModelError: if it fails.
        """
        own = (feed[name] for name in self._segment.fed)
        inputs = [*own, *(tensors[source] for source in self._segment.received), *added]
        self._request.reset_state()
        try:
            self._request.infer(dict(enumerate(inputs)), share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"{self._name}: fails on a window: {last_line(error)}") from error
        return [np.asarray(tensor.data) for tensor in self._request.output_tensors]
