"""Keep encoded weights on disk while a compression runs, so that an interrupted one resumes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ovpass.errors import OutputError
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.array_files import read_arrays
from ovpass.support.cache import cache_folder
from ovpass.support.structured_text import MalformedError


class EncodedStore:
    """The weights of activations by number and encoding, of one compression: `name` tells it from others.

    Raises, from every method:
        OutputError: if the folder cannot be written.
    """

    def __init__(self, name: str, kind: type[EncodedWeights]) -> None:
        self._folder = cache_folder("encoded", name)
        self._kind = kind

    def get(self, number: int, encoding: Encoding) -> list[EncodedWeights] | None:
        """What was put; None where nothing was, or not all of it."""
        path = self._path(number, encoding)
        if not path.is_file():
            return None
        try:
            return self._restored(read_arrays(path), encoding)
        except (MalformedError, LookupError, ValueError, TypeError):
            return None  # it is encoded again

    def lost(self, number: int, encoding: Encoding) -> float | None:
        """What their outputs lose, as it was put with them."""
        found = float(read_arrays(self._path(number, encoding))["lost"])
        return None if np.isnan(found) else found

    def put(self, number: int, encoded: Sequence[EncodedWeights], lost: float | None = None) -> None:
        """Keep them: they are on disk when this returns. Arrays that are one object stay so."""
        arrays: dict[str, Any] = {}
        places = []
        for index, weights in enumerate(encoded):
            for field in fields(weights):
                value = getattr(weights, field.name)
                for position, array in enumerate(value) if isinstance(value, tuple) else [(-1, value)]:
                    if isinstance(array, np.ndarray):
                        arrays[f"a{id(array)}"] = array
                        places.append((str(index), field.name, str(position), f"a{id(array)}"))
        path = self._path(number, encoded[0].encoding)
        scratch = path.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as stream:
                lost_or_nan = np.float64(np.nan if lost is None else lost)
                np.savez(stream, allow_pickle=False, places=np.array(places), lost=lost_or_nan, **arrays)
            scratch.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot keep encoded weights: {error.strerror or error}") from error

    def clear(self) -> None:
        """Forget all: the compression is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int, encoding: Encoding) -> Path:
        return self._folder / f"{number}-{hashlib.sha256(repr(encoding).encode()).hexdigest()[:12]}.npz"

    def _restored(self, arrays: dict[str, Any], encoding: Encoding) -> list[EncodedWeights]:
        found: dict[str, dict[str, Any]] = {}
        for index, field, position, name in arrays["places"]:
            own = found.setdefault(str(index), {})
            if int(position) < 0:
                own[str(field)] = arrays[str(name)]
            else:
                own[str(field)] = (*own.get(str(field), ()), arrays[str(name)])
        return [self._kind(encoding, **own) for own in found.values()]
