"""Fit codebooks and scales of vector-quantized weights to second moments of the activation.

The error of a matrix is the trace of (W - Q) H (W - Q)^T, with its weights W [N, K], what its codes stand for Q, and
the second moments H [K, K]. For given codes it is quadratic in the entries of the codebooks and in the scales, so both
have best values (AQLM, Egiazarian et al. 2024, arXiv 2401.06118, section 3, without the training of blocks).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.compression.vector_search import nearest_sums
from ovpass.formats import kmeans

Array = npt.NDArray[Any]

_SAMPLE = 40_000
"""Vectors that the first codebooks are made of."""
_LEAST = 1e-3
"""Of the mean cost of a weight: channels that are hardly ever used still get vectors of about their size."""
_STEPS = 4
"""Of conjugate gradients; four more take less than 0.1 % off the error."""


def first_scales(weights: Array, cost: Array) -> Array:
    """A scale a row, f32 [N, 1]: the root mean square of its `weights` [N, K], by the root of their `cost` [K]."""
    share = np.sqrt(cost / cost.mean())
    return stored(np.maximum(np.sqrt((weights**2 * share).mean(axis=1, keepdims=True)), np.float32(1e-6)))


def first_codebooks(
    weights: Array, scale: Array, cost: Array, length: int, entries: Sequence[int], seed: int
) -> list[Array]:
    """Residual codebooks [entries, length] by k-means of vectors of weights / scale."""
    random = np.random.default_rng(seed)
    vectors = (weights / scale).reshape(-1, length)
    chosen = np.sort(random.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False))
    row, column = np.divmod(chosen, weights.shape[1] // length)
    share = np.sqrt(np.maximum(cost / cost.mean(), _LEAST)).astype(np.float32).reshape(-1, length)
    importance = share[column] * (scale[row] / scale.mean()) ** 2
    left = vectors[chosen]
    books = []
    for count in entries:
        book = kmeans.cluster(left, importance, count, seed=seed)
        left = left - book[kmeans.assign(left, importance, book)]
        books.append(book)
    return books


def decoded(codebooks: Sequence[Array], codes: Array) -> Array:
    """The sums of entries [N, K] for codes [codebooks, N, K / length]."""
    found = codebooks[0][codes[0]]
    for book, code in zip(codebooks[1:], codes[1:], strict=True):
        found += book[code]
    return np.asarray(found.reshape(codes.shape[1], -1))


def fitted_scales(weights: Array, moments: Array, codebooks: Sequence[Array], codes: Array, scale: Array) -> Array:
    """The best scales [N, 1] for these codes; the given one where that is not positive."""
    values = decoded(codebooks, codes)
    seen = values @ moments
    along, own = (np.einsum("nk,nk->n", seen, each)[:, None] for each in (weights, values))
    good = (along > 0) & (own > 0)
    return np.where(good, stored(along / np.where(good, own, 1)), scale)


def fitted_codebooks(
    weights: Array, moments: Array, codebooks: Sequence[Array], codes: Array, scale: Array
) -> list[Array]:
    """The best entries of all codebooks together for these codes, by preconditioned conjugate gradients."""
    cut = (len(weights), -1, codebooks[0].shape[1])

    def gathered(values: Array) -> list[Array]:
        return _gathered((values * scale).reshape(cut), codes, codebooks)

    curvature = _gathered(np.broadcast_to(np.diag(moments) * scale**2, weights.shape).reshape(cut), codes, codebooks)
    inverse = [1 / np.where(each > 0, each, np.inf) for each in curvature]
    left = gathered((weights - decoded(codebooks, codes) * scale) @ moments)
    change = [np.zeros_like(book) for book in codebooks]
    direction = _times(inverse, left)
    slope = start = _dot(left, direction)
    for _ in range(_STEPS):
        if slope <= start * np.finfo(np.float32).eps:
            break
        bent = gathered((decoded(direction, codes) * scale) @ moments)
        step = slope / _dot(direction, bent)
        change = [own + step * each for own, each in zip(change, direction, strict=True)]
        left = [own - step * each for own, each in zip(left, bent, strict=True)]
        steepest = _times(inverse, left)
        slope, before = _dot(left, steepest), slope
        direction = [own + slope / before * each for own, each in zip(steepest, direction, strict=True)]
    return [stored(book + each) for book, each in zip(codebooks, change, strict=True)]


def refined_codes(
    weights: Array, moments: Array, codebooks: Sequence[Array], codes: Array, scale: Array, *, beam: int, block: int
) -> Array:
    """Codes of no larger error: each vector of columns is chosen anew, with all others as they are.

    What is best for the columns J is nearest to their values plus (W - Q) H[:, J] H[J, J]^-1, by the metric H[J, J].
    `block` columns are looked at between two products by H.
    """
    codes = codes.copy()
    length = codebooks[0].shape[1]
    values = decoded(codebooks, codes) * scale
    error = weights - values
    for first in range(0, weights.shape[1], block):
        last = first + block
        pull = error @ moments[:, first:last]
        for at in range(first, last, length):
            own = slice(at, at + length)
            targets = values[:, own] + pull[:, own.start - first : own.stop - first] @ np.linalg.inv(moments[own, own])
            metric = _root(moments[own, own])
            code = _better(
                targets / scale @ metric, [book @ metric for book in codebooks], codes[..., at // length], beam
            )
            codes[..., at // length] = code
            change = decoded(codebooks, code[..., None]) * scale - values[:, own]
            values[:, own] += change
            error[:, own] -= change
            pull -= change @ moments[own, first:last]
    return codes


def stored(values: Array) -> Array:
    """In f32, as f16 holds them."""
    return np.asarray(np.asarray(values, np.float16), np.float32)


def _better(targets: Array, codebooks: Sequence[Array], codes: Array, beam: int) -> Array:
    """What a search finds where it is nearer than `codes`."""
    found = nearest_sums(targets, codebooks, beam)
    old, new = (np.square(targets - decoded(codebooks, each[..., None])).sum(axis=1) for each in (codes, found))
    return np.where(new < old, found, codes)


def _root(metric: Array) -> Array:
    """L with L L^T the metric, on a scale at which f32 does not run out."""
    return np.asarray(np.linalg.cholesky(metric.astype(np.float64) / metric.max()), np.float32)


def _gathered(values: Array, codes: Array, codebooks: Sequence[Array]) -> list[Array]:
    """The sums of values [N, K / length, length] by code, for each codebook."""
    found = []
    for book, code in zip(codebooks, codes, strict=True):
        flat = code.ravel()
        sums = [np.bincount(flat, values[..., axis].ravel(), len(book)) for axis in range(book.shape[1])]
        found.append(np.stack(sums, axis=1).astype(np.float32))
    return found


def _times(first: Sequence[Array], second: Sequence[Array]) -> list[Array]:
    return [own * other for own, other in zip(first, second, strict=True)]


def _dot(first: Sequence[Array], second: Sequence[Array]) -> float:
    return sum(float(np.vdot(own, other)) for own, other in zip(first, second, strict=True))
