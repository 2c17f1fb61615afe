"""Edits of GGUF files: values of their metadata, what they tell of their tensors, and the file as bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import gguf

from tests.fuzzing.edits import edit_bytes

_NUMBERS = (0, 1, 2, 3, 8, 31, 127, 128, 255, 2**16, 2**31, 2**32 - 1, 2**63)


def edit_gguf(content: bytes, rng: Random) -> bytes:
    """The file with one number changed, or a few; one in four times with bytes edited."""
    if rng.random() < 0.25:
        return edit_bytes(content, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        path.write_bytes(content)
        reader = gguf.GGUFReader(path, "c")
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _edit(rng, rng.choice(_parts(rng, reader)))
        return bytes(reader.data)


def _parts(rng: Random, reader: Any) -> list[Any]:
    """Views into the file: of values, of what is told of tensors, or of names, lengths and types as well."""
    told = [tensor.field for tensor in reader.tensors]
    match rng.randrange(4):
        case 0:
            return [part for field in told for part in field.parts]
        case 1:
            return [part for field in reader.fields.values() for part in field.parts]
        case _:
            return [field.parts[index] for field in reader.fields.values() for index in field.data[:1]]


def _edit(rng: Random, part: Any) -> None:
    number = rng.choice(_NUMBERS) if rng.random() < 0.7 else rng.randrange(256)
    place = rng.randrange(len(part)) if len(part) else 0
    if len(part):
        part[place] = number % 2 ** (8 * part.dtype.itemsize - (part.dtype.kind == "i"))
