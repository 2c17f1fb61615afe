"""Read and write safetensors files, of every element type, by NumPy.

The length of the header in 8 bytes, the header in JSON, then the tensors (huggingface/safetensors, README). The
safetensors package gives types that NumPy lacks, such as bf16 and f8, to PyTorch only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module
from ovpass.support.structured_text import decode, parse_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ovpass.formats import float_types

    Array = npt.NDArray[Any]
else:
    np, float_types = lazy_module("numpy"), lazy_module("ovpass.formats.float_types")

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1",
    "F8_E8M0": "u1",
}  # fmt: skip
"""What NumPy holds each type in; bf16 and f8 as their bit patterns."""
_F8 = {"F8_E4M3": "f8e4m3", "F8_E5M2": "f8e5m2"}
_METADATA, _OF_PYTORCH = "__metadata__", {"format": "pt"}
_LENGTH, _ENTRY = 8, 240
"""Bytes of the length, and most that an entry of the header needs beside the name."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: its type as safetensors calls it, its shape, and where its bytes are."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def stored(self) -> Array:
        """The numbers as they lie in the file; bf16 and f8 as bit patterns.

        Raises:
            ModelError: for a type that is unknown, and for bytes that are not those of the shape.
        """
        if self.dtype not in _DTYPES:
            raise ModelError(f"{self.path}: {self.name} is of type {self.dtype}, which is not known")
        dtype = np.dtype(_DTYPES[self.dtype])
        if self.end - self.start != math.prod(self.shape) * dtype.itemsize:
            raise ModelError(f"{self.path}: {self.name} is not as long as its shape says; download it again")
        content = self.content()
        return np.asarray(content.view(dtype).reshape(self.shape))

    def content(self) -> Array:
        """The bytes."""
        if self.start == self.end:
            return np.zeros(0, np.uint8)
        return np.array(np.memmap(self.path, np.uint8, "r", self.start, (self.end - self.start,)))

    def floats(self) -> Array:
        """The numbers in f32, f16 ones in f16.

        Raises:
            ModelError: as `stored`.
        """
        stored = self.stored()
        if self.dtype == "BF16":
            return np.asarray((stored.astype(np.uint32) << np.uint32(16)).view(np.float32))
        if self.dtype in _F8:
            return float_types.values_by_code(_F8[self.dtype])[stored]
        if self.dtype == "F8_E8M0":
            return np.asarray(np.ldexp(np.float32(1), stored.astype(np.int32) - 127))
        return stored if self.dtype == "F16" else stored.astype(np.float32)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name.

    Raises:
        ModelError: for a file that is damaged or cut off.
    """
    with _complete(path):
        header, data = _read(path)
        header.pop(_METADATA, None)
        found = {name: _tensor(path, name, entry, data) for name, entry in header.items()}
        size = path.stat().st_size
    whole = max((tensor.end for tensor in found.values()), default=0)
    if size < whole:
        raise ModelError(f"{path}: is truncated: {size} bytes of {whole}; download it again")
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that lie beside the tensors, by name.

    Raises:
        ModelError: for a file that is damaged or cut off.
    """
    with _complete(path):
        return {str(name): str(text) for name, text in _read(path)[0].get(_METADATA, {}).items()}


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"{path}: is not a complete safetensors file: {error}; download it again") from error


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the data begin."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH), "little")
        if length > path.stat().st_size:
            raise ValueError("its header is cut off")
        header: dict[str, Any] = parse_json(decode(stream.read(length)))
    return header, _LENGTH + length


def _tensor(path: Path, name: str, entry: dict[str, Any], data: int) -> StoredTensor:
    start, end = (int(offset) for offset in entry["data_offsets"])
    shape = tuple(int(size) for size in entry["shape"])
    if not 0 <= start <= end or min(shape, default=0) < 0:
        raise ValueError(f"{name} has negative sizes")
    return StoredTensor(path, name, str(entry["dtype"]), shape, data + start, data + end)


def write_safetensors(
    path: Path, tensors: Mapping[str, Callable[[], tuple[str, Array]]], metadata: Mapping[str, str] = _OF_PYTORCH
) -> None:
    """Write tensors one at a time: each call gives a tensor's type as safetensors calls it, and its numbers."""
    # A header may end in spaces, so its room can be kept before the tensors are known.
    room = sum(len(json.dumps(name)) + _ENTRY for name in tensors) + len(json.dumps(metadata)) + _ENTRY
    header: dict[str, Any] = {_METADATA: metadata}
    offset = 0
    with path.open("wb") as stream:
        stream.seek(_LENGTH + room)
        for name, read in tensors.items():
            dtype, numbers = read()
            offsets = [offset, offset + numbers.nbytes]
            header[name] = {"dtype": dtype, "shape": list(numbers.shape), "data_offsets": offsets}
            offset += numbers.nbytes
            stream.write(np.ascontiguousarray(numbers).tobytes())
        stream.seek(0)
        stream.write(room.to_bytes(_LENGTH, "little") + json.dumps(header).encode().ljust(room))
