"""Try the variants of the CPU kernel on this machine, and keep the fastest for each shape of a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import ModelError
from ovpass.ir.custom_op import OP_TYPE
from ovpass.ir.files import open_source
from ovpass.kernels.build import library, library_cache
from ovpass.kernels.native import Native
from ovpass.kernels.packing import pack
from ovpass.kernels.shape import KernelShape, shape_of
from ovpass.kernels.source import ROW_BLOCKS, Choice
from ovpass.kernels.toolchain import find_toolchain
from ovpass.kernels.tuned import keep_choices

Array = npt.NDArray[Any]
_TOKENS = (2, 4, 8, 12, 16, 24)
_CACHE_BYTES, _MOST_COPIES = 64 << 20, 500
"""Codes are read from copies of so many bytes in turn, as those of a model are: not from a cache."""
_LEAST_TURNS = 50
_TABLES, _DECODED = 1 << 30, 0


@dataclass(frozen=True)
class Tuned:
    """The fastest choice for a shape. `seconds` has the time of one token by the number of row blocks."""

    shape: KernelShape
    choice: Choice
    seconds: dict[int, float]


def tune(model: Path | str, progress: Callable[[str], None] = lambda _: None) -> list[Tuned]:
    """Measure the shapes of a model's kernels; libraries that are built from now on use the fastest choices.

    `model` is an .xml or a folder. It takes about a second a shape.

    Raises:
        ModelError: for an invalid model, and one without ops of ours.
        KernelError: if there is no library.
    """
    graphs = [ir.read() for ir in open_source(model).models]
    ops = [node for graph in graphs for node in graph.get_ops() if node.get_type_name() == OP_TYPE]
    if not ops:
        raise ModelError(f"{model}: has no kernels to tune; apply the lowering kernel first")
    native, found = Native(library([])), []
    for shape in dict.fromkeys(map(shape_of, ops)):
        progress(f"tuning {shape.n} x {shape.k}")
        found.append(_tune(_Runner(native, shape)))
    keep_choices(find_toolchain(), library_cache(), [(each.shape, each.choice) for each in found])
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

    def __init__(self, native: Native, shape: KernelShape) -> None:
        self._native, self.shape = native, shape
        self._random = np.random.default_rng(0)
        codes = self._random.integers(0, shape.entries, (shape.books, shape.n, shape.k // shape.d)).astype(np.uint8)
        packed = pack(codes)
        count = min(_MOST_COPIES, max(1, _CACHE_BYTES // packed.size))
        self._copies = [packed.copy() for _ in range(count)]
        self._books = self._random.standard_normal((shape.books, shape.entries, shape.d)).astype(np.float16)
        self._scale = np.ones(shape.n, np.float16)

    def measure(self, choices: Mapping[Any, Choice], tokens: int) -> dict[Any, float]:
        """The least seconds of each choice; all are tried in turns."""
        x = self._random.standard_normal((tokens, self.shape.k)).astype(np.float32)
        y = np.empty((tokens, self.shape.n), np.float32)
        best = dict.fromkeys(choices, float("inf"))
        with self._native.codebooks(self.shape, self._books) as books:
            for turn in range(max(_LEAST_TURNS, len(self._copies))):
                codes = self._copies[turn % len(self._copies)]
                for name, choice in choices.items():
                    started = time.perf_counter()
                    self._native.multiply(choice, self.shape, codes, books, self._scale, x, y)
                    best[name] = min(best[name], time.perf_counter() - started)
        return best
