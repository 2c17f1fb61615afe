"""The order of weights that the kernels read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.kernels.shape import ROWS, TABLES, KernelShape

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Parts:
    """Weights of an op: codes u8 [books, N, K / d], codebooks f16 [books, entries, d], scale f16 [N]."""

    codes: Array
    codebooks: Array
    scale: Array


def to_bytes(parts: Parts) -> Array:
    """The weights of an op as one array u8: packed codes, then codebooks and scale."""
    halves = [np.ascontiguousarray(half, np.float16).reshape(-1) for half in (parts.codebooks, parts.scale)]
    return np.concatenate([pack(parts.codes), *(half.view(np.uint8) for half in halves)])


def from_bytes(weights: Array, shape: KernelShape) -> Parts:
    """What `to_bytes` was given."""
    codes, rest = np.split(weights.reshape(-1), [shape.code_bytes])
    codebooks, scale = np.split(rest.view(np.float16), [shape.books * shape.entries * shape.d])
    return Parts(unpack(codes, shape), codebooks.reshape(shape.books, shape.entries, shape.d), scale)


def pack(codes: Array) -> Array:
    """Codes u8 [books, N, K / d] as u8 [blocks of 32 tables, blocks of 64 rows, tables, rows], flat.

    A table is a group of columns and a codebook, codebooks first. The last block may have fewer tables. Rows are filled
    up to whole blocks with zeros.
    """
    books, n, groups = codes.shape
    rows = -(-n // ROWS)
    padded = np.zeros((rows * ROWS, groups * books), np.uint8)
    padded[:n] = codes.transpose(1, 2, 0).reshape(n, -1)
    by_table = padded.reshape(rows, ROWS, -1).transpose(0, 2, 1)
    blocks = [by_table[:, first : first + TABLES].reshape(-1) for first in range(0, by_table.shape[1], TABLES)]
    return np.concatenate(blocks)


def unpack(packed: Array, shape: KernelShape) -> Array:
    """What `pack` was given."""
    sizes = [min(TABLES, shape.tables - first) for first in range(0, shape.tables, TABLES)]
    ends = np.cumsum(sizes) * shape.row_blocks * ROWS
    blocks = [
        block.reshape(shape.row_blocks, size, ROWS)
        for block, size in zip(np.split(packed.reshape(-1), ends[:-1]), sizes, strict=True)
    ]
    by_row = np.concatenate(blocks, axis=1).transpose(0, 2, 1).reshape(shape.row_blocks * ROWS, -1)[: shape.n]
    return np.ascontiguousarray(by_row.reshape(shape.n, -1, shape.books).transpose(2, 0, 1))
