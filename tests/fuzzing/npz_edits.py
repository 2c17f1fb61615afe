"""Edits of .npz files: names, types and shapes of their arrays, and the file as bytes."""

from __future__ import annotations

import io
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.fuzzing.edits import edit_bytes

_TYPES = ("f2", "f8", "i1", "u8", "U3", "O", "c8", "bool", "M8[s]")


def edit_npz(content: bytes, rng: Random) -> bytes:
    """The file with an array dropped, renamed, of another type, shape or content, or with bytes edited."""
    if rng.random() < 0.3:
        return edit_bytes(content, rng)
    with np.load(io.BytesIO(content)) as stored:
        arrays: dict[str, npt.NDArray[Any]] = dict(stored)
    for _ in range(rng.randint(1, 2)):
        if arrays:
            _edit(rng, arrays)
    written = io.BytesIO()
    np.savez(written, allow_pickle=True, **arrays)
    return written.getvalue()


def _edit(rng: Random, arrays: dict[str, npt.NDArray[Any]]) -> None:
    name = rng.choice(list(arrays))
    array = arrays.pop(name)
    match rng.randrange(6):
        case 0:
            return
        case 1:
            arrays[rng.choice(("other", "", "a/b"))] = array
        case 2:
            arrays[name] = array.astype(np.dtype(rng.choice(_TYPES)))
        case 3:
            arrays[name] = array.reshape(rng.choice(((-1,), (1, 1, -1), (-1, 1))))
        case 4:
            arrays[name] = array[..., : rng.randrange(3)]
        case _:
            arrays[name] = np.full_like(array, rng.choice((-1, 10**6, 2**62)))
