"""Keep what runs of a cut model hand from segment to segment, in memory up to a budget and on disk beyond it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from operator import ne
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import OutputError
from ovpass.evaluation.compiled_segment import Tensors
from ovpass.ir.graph import Output

Array = npt.NDArray[Any]
Key = tuple[Hashable, ...]

BUDGET = 2**30
"""Bytes of prefixes in memory."""
_RUNS = 4


@dataclass
class _Run:
    """What a run handed on, and how many segments it has spared others."""

    tensors: dict[Output, Array]
    spared: int = 0


class Prefixes:
    """The tensors of a few runs of each window, by what they had switched.

    A run's key is one value a segment. `budget` is in bytes; what goes beyond lies in a temporary folder, which TMPDIR
    places, and which goes with this object.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget, self._used, self._files = budget, 0, 0
        self._runs: dict[Hashable, dict[Key, _Run]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def longest(self, window: Hashable, key: Key) -> tuple[int, Tensors]:
        """How many segments from the first on are as in a run that is kept, and the tensors of that run."""
        runs = self._runs.get(window, {})
        best = max(runs, key=lambda kept: _common(kept, key), default=None)
        if best is None:
            return 0, {}
        runs[best].spared += _common(best, key)
        return _common(best, key), runs[best].tensors

    def keep(self, window: Hashable, key: Key, tensors: Tensors) -> None:
        """Keep copies of the tensors of a run, unless another one that is kept differs in a single segment.

        The run of this window that has spared least goes.

        Raises:
            OutputError: if there is no room on disk for what the budget leaves.
        """
        runs = self._runs.setdefault(window, {})
        if any(sum(map(ne, kept, key)) <= 1 for kept in runs):
            return
        if len(runs) == _RUNS:
            self._drop(runs.pop(min(runs, key=lambda kept: runs[kept].spared)).tensors)
        runs[key] = _Run({output: self._copy(array) for output, array in tensors.items()})

    def _drop(self, tensors: Tensors) -> None:
        for array in tensors.values():
            if isinstance(array, np.memmap):
                Path(str(array.filename)).unlink()
            else:
                self._used -= array.nbytes

    def _copy(self, array: Array) -> Array:
        if self._used + array.nbytes <= self._budget or not array.nbytes:
            self._used += array.nbytes
            return np.array(array)
        return self._on_disk(array)

    def _on_disk(self, array: Array) -> Array:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ovpass-prefixes-", ignore_cleanup_errors=True)
        folder, self._files = Path(self._folder.name), self._files + 1
        check_room(folder, array.nbytes)
        try:
            mapped = np.memmap(folder / f"{self._files}.bin", array.dtype, "w+", shape=array.shape)
            mapped[...] = array
        except OSError as error:
            raise OutputError(f"{folder}: prefixes cannot be kept: {error.strerror or error}") from error
        return mapped


def check_room(folder: Path, size: int) -> None:
    """Check that `size` bytes fit before a mapped file grows into a full disk, which would end the process.

    Raises:
        OutputError: if they do not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OutputError(
            f"{folder}: no room for {size / 2**20:.0f} MiB of hidden states, {free / 2**20:.0f} MiB are free; "
            "let TMPDIR name another disk, or use fewer or shorter windows"
        )


def _common(first: Key, second: Key) -> int:
    pairs = enumerate(zip(first, second, strict=True))
    return next((number for number, (one, other) in pairs if one != other), len(first))
