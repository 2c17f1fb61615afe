"""Keep how a candidate compares with the reference, window by window, until the evaluation is finished."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.preparation import sole_model
from ovpass.evaluation.windows import Window
from ovpass.ir.fingerprint import fingerprint
from ovpass.support.cpu_features import cpu_kind
from ovpass.support.store import Store
from ovpass.version import __version__


@dataclass(frozen=True)
class WindowScores:
    """One window of a candidate; `total`, `weights` and `activations` are compared as in CandidateResult.

    `changed` tells whether a prediction differs from those of the candidate's own weights, run clean.
    """

    total: TokenScores
    weights: TokenScores | None
    activations: TokenScores | None
    changed: bool
    seconds: float


class KeptScores:
    """Scores of one candidate by the number of the window, in a file that an interrupted run leaves behind.

    Raises, from every method:
        OutputError: if the file cannot be read or written.
    """

    def __init__(self, path: Path, windows: int) -> None:
        self._store, self._windows = Store(path), windows
        kept = {number: self._store.get(_key(number), WindowScores) for number in range(windows)}
        self._found = {number: scores for number, scores in kept.items() if scores is not None}

    @property
    def missing(self) -> list[int]:
        """The windows that are still to be compared."""
        return [number for number in range(self._windows) if number not in self._found]

    def put(self, number: int, scores: WindowScores) -> None:
        """Keep the scores of a window: they are on disk when this returns."""
        self._store.put(_key(number), scores)
        self._found[number] = scores

    def all(self) -> list[WindowScores]:
        """Those of all windows that have been compared, in order."""
        return [self._found[number] for number in sorted(self._found)]

    def discard(self) -> None:
        """Remove the file; what was compared stays at hand."""
        self._store.discard()


def _key(number: int) -> str:
    return f"window {number + 1}"


def name_of_comparison(
    reference: Candidate, candidate: Candidate, windows: Sequence[Window], device: str, chunk: int | None
) -> str:
    """A name that is equal where the scores of each window are."""
    import openvino as ov  # noqa: PLC0415 - not needed to print help

    own = sorted(item for item in os.environ.items() if item[0].startswith("OV_"))
    hardware = [ov.Core().get_property(device, "FULL_DEVICE_NAME"), cpu_kind()]
    words = ["evaluate", __version__, ov.get_version(), device, *hardware, own, chunk]
    parts = [json.dumps(words).encode(), *_parts(reference), *_parts(candidate)]
    parts += [fingerprint(sole_model(candidate), ()).encode(), *(window.identity for window in windows)]
    return fingerprint(sole_model(reference), parts)


def _parts(candidate: Candidate) -> list[bytes]:
    """What is done to the candidate's model."""
    named = [sorted(candidate.properties.items()), sorted(candidate.cache.items())]
    done = repr((candidate.settings, candidate.profile, *named))
    return [done.encode(), b"" if candidate.plan is None else candidate.plan.read_bytes()]
