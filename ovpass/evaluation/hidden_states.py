"""Tensors that blocks hand on, kept on disk until the last block has read them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import OutputError

Array = npt.NDArray[Any]


class HiddenStates:
    """Arrays in a folder by what they are. What is there was written to its end, so that an interrupted run goes on.

    Raises, from every method:
        OutputError: if they cannot be written or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, what: object) -> bool:
        return self._path(what).exists()

    def save(self, what: object, values: Array) -> None:
        """Keep an array; it appears once it is whole."""
        path = self._path(what)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as stream:
                np.save(stream, values)
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OutputError(
                f"{self._folder}: hidden states cannot be kept: {error.strerror or error}; make room there, or use "
                "fewer or shorter windows"
            ) from error

    def load(self, what: object) -> Array:
        """An array, read into memory."""
        try:
            return np.asarray(np.load(self._path(what)))
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self._folder}: hidden states cannot be read: {error}; remove the folder and run again"
            ) from error

    def drop(self, what: object) -> None:
        """Forget an array that is no longer read."""
        self._path(what).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, what: object) -> Path:
        return self._folder / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:40]}.npy"
