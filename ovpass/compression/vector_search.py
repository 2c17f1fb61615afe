"""Find the entries of residual codebooks whose sum is nearest to a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_ROWS = 128
"""Vectors at a time: their distances stay in a processor's cache, and BLAS takes no threads for so few."""


def nearest_sums(targets: Array, codebooks: Sequence[Array], beam: int) -> Array:
    """The codes [codebooks, P] (i64) of the sums of entries near `targets` [P, d], by a beam search.

    `codebooks` are f32 [entries, d]. Distances are Euclidean. Of every codebook but the last the `beam` best partial
    sums are kept, so the result is exact for one codebook.
    """
    found = np.empty((len(codebooks), len(targets)), np.int64)
    for start in range(0, len(targets), _ROWS):
        rows = slice(start, start + _ROWS)
        found[:, rows] = _search(targets[rows], codebooks, beam)
    return found


def _search(targets: Array, codebooks: Sequence[Array], beam: int) -> Array:
    """`nearest_sums` for a few vectors."""
    rows = np.arange(len(targets))
    paths = np.empty((0, 1, len(targets)), np.int64)  # codebooks so far, candidates, vectors
    sums = np.zeros((1, *targets.shape), np.float32)
    for number, book in enumerate(codebooks):
        keep = 1 if number == len(codebooks) - 1 else beam
        best = _largest(_nearness(targets - sums, book), rows, keep)
        came_from, code = np.divmod(best, len(book))
        paths = np.concatenate([paths[:, came_from, rows], code[None]])
        sums = sums[came_from, rows] + book[code]
    return paths[:, 0]


def _nearness(left: Array, book: Array) -> Array:
    """Minus the squared distances [P, candidates * entries] of `left` [candidates, P, d], by one product for each."""
    candidates, count, length = left.shape
    wide = np.empty((candidates, count, length + 2), np.float32)
    wide[..., :length] = 2 * left
    wide[..., length] = -1
    wide[..., -1] = -np.einsum("cij,cij->ci", left, left)
    other = np.concatenate([book.T, np.einsum("ij,ij->i", book, book)[None], np.ones((1, len(book)), np.float32)])
    nearness = np.empty((count, candidates, len(book)), np.float32)
    for number, each in enumerate(wide):
        np.matmul(each, other, out=nearness[:, number])
    return nearness.reshape(count, -1)


def _largest(values: Array, rows: Array, count: int) -> Array:
    """The columns [count, rows] of the largest `values` [rows, columns], the largest first; they are used up."""
    best = np.empty((count, len(rows)), np.int64)
    for place in range(count):
        best[place] = values.argmax(axis=1)
        if place + 1 < count:
            values[rows, best[place]] = -np.inf
    return best
