"""Keep encoded weights on disk: an interrupted compression resumes, and the next one encodes only what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ovpass.errors import OutputError
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.array_files import read_arrays
from ovpass.support.cache import cache_folder, drop_oldest
from ovpass.support.store import Store
from ovpass.support.structured_text import MalformedError

KEPT_BYTES = 4 * 2**30
"""Of all models together, once a compression is finished."""


class EncodedStore:
    """The weights of activations by number and encoding, of one model and text: `name` tells them from others.

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

    def put(self, number: int, encoded: Sequence[EncodedWeights]) -> None:
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
                np.savez(stream, allow_pickle=False, places=np.array(places), **arrays)
            scratch.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot keep encoded weights: {error.strerror or error}") from error

    @cached_property
    def measurements(self) -> Store:
        """What was measured of models with such weights."""
        return Store(self._folder / "measurements.jsonl")

    def finish(self) -> None:
        """Let other compressions of the same model begin where this one ends, as long as the cache has room."""
        drop_oldest(self._folder.parent, KEPT_BYTES)

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
