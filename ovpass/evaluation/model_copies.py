"""What runs in a worker of a cluster: copies of the models of an evaluation, their predictions and scores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ovpass.evaluation.hosts import Likeness
from ovpass.evaluation.kept_scores import WindowScores
from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.recording import Array
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.scoring import Exact, differ, on_threads, reads_cache
from ovpass.evaluation.windows import Window

_COPIES = 3
"""Models that a worker holds: the reference, and a candidate with and without quantization."""


@dataclass(frozen=True)
class Model:
    """A model of an evaluation, as a worker prepares it: by a function and its arguments. It can be pickled."""

    function: Callable[..., Prepared | None]
    arguments: tuple[Any, ...]
    name: str
    chunk: int | None
    threads: int
    alike: Likeness


class _Copy:
    """A model that is compiled in this worker."""

    def __init__(self, model: Model) -> None:
        model.alike.require_here()
        prepared = model.function(*model.arguments)
        assert prepared is not None  # such a model is not handed out
        prepared = on_threads(prepared, model.threads)
        self.model, self._runner = model, Runner(prepared, model.name)
        self._exact = prepared.with_exact_cache() if reads_cache(prepared, model.chunk) else None

    def logits(self, window: Window) -> Array:
        """The predictions of a window."""
        return np.array(self._runner.logits(window))

    @property
    def cached(self) -> bool:
        """Whether a change can only come from the cache."""
        return self._exact is not None

    def changed_by_cache(self, window: Window, logits: Array) -> bool:
        """Whether these predictions are not those of a cache in f32."""
        assert self._exact is not None
        return differ(Runner(self._exact, f"{self.model.name} (f32 KV cache)").logits(window), logits)


_copies: list[_Copy] = []
_one_at_a_time = threading.Lock()


def predict(model: Model, window: Window) -> Array:
    """The predictions of a model without quantization, in this worker.

    Raises:
        OvpassError: if this host is not like the others, or the model cannot be run.
    """
    with _one_at_a_time:
        return _copy(model).logits(window)


def score(model: Model, window: Window, truth: Array, own: Array | None, is_same: bool, is_first: bool) -> WindowScores:
    """How a candidate compares on a window, the first or another, in this worker.

    `truth` are the reference's predictions; `own` those of the candidate's own weights, `is_same` where these are one.

    Raises:
        OvpassError: if this host is not like the others, or the model cannot be run or compared.
    """
    with _one_at_a_time:
        started = time.perf_counter()
        copy = _copy(model)
        logits = copy.logits(window)
        found = Exact(truth, truth if is_same else own).compare(logits, window, model.name, model.threads)
        if copy.cached:
            found = replace(found, changed=is_first and copy.changed_by_cache(window, logits))
        return replace(found, seconds=time.perf_counter() - started)


def _copy(model: Model) -> _Copy:
    """The copy of this worker, which is made first where there is none; those that were used last stay."""
    found = next((copy for copy in _copies if copy.model == model), None)
    if found is None:
        del _copies[: max(0, len(_copies) + 1 - _COPIES)]
        found = _Copy(model)
    else:
        _copies.remove(found)
    _copies.append(found)
    return found
