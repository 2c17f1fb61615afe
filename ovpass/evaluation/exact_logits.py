"""Predictions of the exact model, with which many others are compared."""

from __future__ import annotations

from collections.abc import Callable

from ovpass.evaluation.recording import Array
from ovpass.evaluation.windows import Window

_KEPT_BYTES = 2**31
"""For exact logits. Those of further windows are computed each time."""


class ExactLogits:
    """The predictions [scored, vocabulary] that `compute` makes of windows, kept as far as there is room."""

    def __init__(self, compute: Callable[[Window], Array]) -> None:
        self._compute = compute
        self._kept: dict[bytes, Array] = {}

    def __call__(self, window: Window) -> Array:
        """Those of a window."""
        if window.identity in self._kept:
            return self._kept[window.identity]
        exact: Array = self._compute(window).copy()
        if exact.nbytes + sum(kept.nbytes for kept in self._kept.values()) <= _KEPT_BYTES:
            self._kept[window.identity] = exact
        return exact
