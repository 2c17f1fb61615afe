"""Try the variants of the CPU kernel on this machine, and keep the fastest for each shape."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.kernels.build import cache_folder, library
from ovpass.kernels.packing import pack
from ovpass.kernels.shape import KernelShape
from ovpass.kernels.source import ROW_BLOCKS, Choice
from ovpass.kernels.toolchain import find_toolchain
from ovpass.kernels.tuned import keep_choices

Array = npt.NDArray[Any]
_TOKENS = (2, 4, 8, 12, 16, 24)
_CACHE_BYTES = 64 << 20
"""Codes are read from copies of so many bytes in turn, as those of a model are: not from a cache."""
_ROUNDS = 7
_TABLES, _DECODED = 1 << 30, 0


@dataclass(frozen=True)
class Tuned:
    """The fastest choice for a shape. `seconds` has the time of one token by the number of row blocks."""

    shape: KernelShape
    choice: Choice
    seconds: dict[int, float]


def tune(
    shapes: Sequence[KernelShape], *, keep: bool = True, progress: Callable[[str], None] = lambda _: None
) -> list[Tuned]:
    """Measure shapes on this machine; with `keep`, libraries that are built from now on use the choices.

    Raises:
        KernelError: if there is no library.
    """
    loaded = ctypes.CDLL(str(library([])))
    loaded.ovpass_codebooks.restype = ctypes.c_void_p
    found = []
    for shape in dict.fromkeys(shapes):
        progress(f"tuning {shape.n} x {shape.k}")
        found.append(_tune(_Runner(loaded, shape)))
    if keep:
        keep_choices(find_toolchain(), cache_folder(), [(each.shape, each.choice) for each in found])
    return found


def _tune(runner: _Runner) -> Tuned:
    seconds = runner.measure({blocks: Choice(blocks, _TABLES) for blocks in ROW_BLOCKS}, 1)
    blocks = min(seconds, key=lambda each: seconds[each])
    few = 1
    for tokens in _TOKENS:
        times = runner.measure({"few": Choice(blocks, _TABLES), "many": Choice(blocks, _DECODED)}, tokens)
        if times["many"] < times["few"]:
            break
        few = tokens
    return Tuned(runner.shape, Choice(blocks, few), seconds)


class _Runner:
    """Random weights of a shape, in copies that no cache holds."""

    def __init__(self, loaded: ctypes.CDLL, shape: KernelShape) -> None:
        self._loaded, self.shape = loaded, shape
        random = np.random.default_rng(0)
        codes = random.integers(0, shape.entries, (shape.books, shape.n, shape.k // shape.d)).astype(np.uint8)
        packed = pack(codes)
        self._copies = [packed.copy() for _ in range(max(1, _CACHE_BYTES // packed.size))]
        self._books = random.standard_normal((shape.books, shape.entries, shape.d)).astype(np.float32)
        self._scale, self._random = np.ones(shape.n, np.float32), random
        self._sizes = (ctypes.c_size_t * 5)(*astuple(shape))

    def measure(self, choices: dict[Any, Choice], tokens: int) -> dict[Any, float]:
        """The least seconds of each choice; all are tried in turns."""
        x = self._random.standard_normal((tokens, self.shape.k)).astype(np.float32)
        y = np.empty((tokens, self.shape.n), np.float32)
        ready = ctypes.c_void_p(self._loaded.ovpass_codebooks(self._sizes, _pointer(self._books)))
        best = dict.fromkeys(choices, float("inf"))
        try:
            for turn in range(_ROUNDS * min(len(self._copies), 8)):
                codes = self._copies[turn % len(self._copies)]
                for name, choice in choices.items():
                    started = time.perf_counter()
                    self._run(choice, codes, ready, x, y)
                    best[name] = min(best[name], time.perf_counter() - started)
        finally:
            self._loaded.ovpass_release(ready)
        return best

    def _run(self, choice: Choice, codes: Array, ready: ctypes.c_void_p, x: Array, y: Array) -> None:
        self._loaded.ovpass_multiply(
            (ctypes.c_size_t * 2)(*astuple(choice)),
            self._sizes,
            _pointer(codes),
            ready,
            _pointer(self._scale),
            _pointer(x),
            _pointer(y),
            ctypes.c_size_t(len(x)),
        )


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
