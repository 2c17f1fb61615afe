"""Candidates that are compared with a reference, and the scores of one of their windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ovpass.errors import ModelError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.kept_scores import KeptScores, WindowScores
from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.recording import Array
from ovpass.evaluation.windows import Window
from ovpass.support.progress import Progress


@dataclass(frozen=True)
class Asked:
    """A candidate, and what is kept of its comparison."""

    candidate: Candidate
    kept: KeptScores

    @property
    def path(self) -> Path:
        """The whole path of its model."""
        return self.candidate.path.resolve()


@dataclass(frozen=True)
class Comparisons:
    """What is compared: candidates with the reference on `windows`, fed in pieces of `chunk` tokens on `device`."""

    reference: Candidate
    asked: Sequence[Asked]
    windows: Sequence[Window]
    device: str
    chunk: int | None

    def missing(self, path: Path | None = None) -> list[int]:
        """The windows that are missing for any candidate, or for any with the model at `path`."""
        return sorted({number for each in self.asked if path in (None, each.path) for number in each.kept.missing})

    def own_is_reference(self, path: Path) -> bool:
        """Whether the model at `path` without quantization is the reference."""
        return self.reference.plain and path == self.reference.path.resolve()


class Scorer(Protocol):
    """Scores the windows that candidates lack. Candidates are asked for in their order."""

    def start(self, prepared: Prepared) -> None:
        """Begin, with the reference as it is prepared.

        Raises:
            OvpassError: if it cannot be run.
        """

    def scores(self, asked: Asked, prepared: Prepared, progress: Progress) -> Iterator[tuple[int, WindowScores]]:
        """Those of the next candidate, as it is prepared, by the number of the window.

        Raises:
            OvpassError: if a model cannot be run or compared.
        """

    def close(self) -> None:
        """End what runs."""


@dataclass(frozen=True)
class Exact:
    """The reference's predictions of a window, and those of the candidate's own weights without quantization.

    `own` is None where these cannot be had, and `reference` itself where they are the same.
    """

    reference: Array
    own: Array | None

    def compare(self, logits: Array, window: Window, name: str, threads: int | None = None) -> WindowScores:
        """The scores of a candidate's predictions, in no time; `changed` is judged by its own weights.

        Raises:
            ModelError: if the vocabularies differ, or are smaller than the text's.
        """
        truth, own = self.reference, self.own
        _check_vocabulary(truth, logits, window, name)
        weights = activations = None
        if own is not None and own is not truth:
            weights = compare_logits(truth, own, window, threads)
            activations = compare_logits(own, logits, window, threads)
        total: TokenScores = compare_logits(truth, logits, window, threads)
        return WindowScores(total, weights, activations, own is None or differ(own, logits), 0.0)


def differ(first: Array, second: Array) -> bool:
    """Whether any prediction differs."""
    return not np.array_equal(first, second, equal_nan=True)


def reads_cache(prepared: Prepared, chunk: int | None) -> bool:
    """Whether a change can only come from a cache: the candidate is fed in other pieces than its own weights are.

    Its predictions are then compared with those of a cache in f32 fed in the same pieces, on the first window.
    """
    return bool(prepared.cache) and prepared.chunk != chunk


def on_threads(prepared: Prepared, threads: int) -> Prepared:
    """The same for so many threads of a CPU."""
    return replace(prepared, properties={**prepared.properties, "INFERENCE_NUM_THREADS": str(threads)})


def _check_vocabulary(truth: Array, logits: Array, window: Window, name: str) -> None:
    if truth.shape != logits.shape:
        raise ModelError(
            f"{name}: has {logits.shape[-1]} tokens in its vocabulary, the reference {truth.shape[-1]}: "
            "compare models with one vocabulary"
        )
    if (largest := int(window.targets.max())) >= logits.shape[-1]:
        raise ModelError(
            f"{name}: has {logits.shape[-1]} tokens in its vocabulary, but the text has token {largest}; "
            "name the model's own tokenizer with --tokenizer"
        )
