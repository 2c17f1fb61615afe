"""The C functions of a library: its kernels without OpenVINO, to measure and check them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ovpass.kernels.shape import KernelShape
from ovpass.kernels.source import Choice

Array = npt.NDArray[Any]


class Native:
    """A loaded library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.ovpass_codebooks.restype = ctypes.c_void_p
        self._library.ovpass_read.restype = ctypes.c_uint64

    @contextmanager
    def codebooks(self, shape: KernelShape, values: Array) -> Iterator[ctypes.c_void_p]:
        """Codebooks f16 [books, entries, d] as the kernels hold them."""
        ready = ctypes.c_void_p(self._library.ovpass_codebooks(_sizes(*astuple(shape)), _pointer(values)))
        try:
            yield ready
        finally:
            self._library.ovpass_release(ready)

    def multiply(
        self,
        choice: Choice,
        shape: KernelShape,
        packed: Array,
        books: ctypes.c_void_p,
        scale: Array,
        x: Array,
        y: Array,
    ) -> None:
        """Write to `y` f32 [tokens, n] the product of `x` f32 [tokens, k] and the weights, with `scale` f16 [n]."""
        given = [_pointer(packed), books, _pointer(scale), _pointer(x), _pointer(y)]
        tokens = ctypes.c_size_t(len(x))
        self._library.ovpass_multiply(_sizes(*astuple(choice)), _sizes(*astuple(shape)), *given, tokens)

    def read(self, values: Array) -> None:
        """Read an array u8 from memory, and do nothing else."""
        self._library.ovpass_read(_pointer(values), ctypes.c_size_t(values.size))


def _sizes(*values: int) -> ctypes.Array[ctypes.c_size_t]:
    return (ctypes.c_size_t * len(values))(*values)


def _pointer(array: Array) -> ctypes.c_void_p:
    assert array.flags.c_contiguous, "the kernels read whole arrays"
    return ctypes.c_void_p(array.ctypes.data)
