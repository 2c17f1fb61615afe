"""Keep predictions on disk while other models are compared with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import OutputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recording:
    """Arrays of one model by the number of the window, in a folder of its own."""

    folder: Path

    def save(self, number: int, values: Array) -> None:
        """Keep a window's values.

        Raises:
            OutputError: if there is no room.
        """
        try:
            np.save(self._path(number), values)
        except OSError as error:
            raise OutputError(f"{self.folder}: predictions cannot be kept: {error.strerror or error}") from error

    def load(self, number: int) -> Array:
        """A window's values, mapped into memory."""
        return np.asarray(np.load(self._path(number), mmap_mode="r"))

    def drop(self, number: int) -> None:
        """Forget a window's values; they stay readable where they are still in use."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.npy"


@contextmanager
def recordings() -> Iterator[Path]:
    """A temporary folder, removed in the end; TMPDIR says where it lies."""
    with tempfile.TemporaryDirectory(prefix="ovpass-evaluate-") as folder:
        yield Path(folder)
