"""K-means of weighted vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

_BLOCK = 2048
"""Vectors at a time: their distances to 256 entries stay in a processor's cache."""


def assign(vectors: Array, weights: Array | None, centers: Array) -> Array:
    """The index of the nearest center of each vector, i64 [P].

    `vectors` [P, d] and `centers` [entries, d] are f32. The distance is the sum over d of weight * difference^2, with
    `weights` [P, d], all 1 where None.
    """
    found = np.empty(len(vectors), np.int64)
    against = np.concatenate([2 * centers, -(centers**2)], axis=1).T.copy()
    for start in range(0, len(vectors), _BLOCK):
        part = vectors[start : start + _BLOCK]
        weight = np.ones_like(part) if weights is None else weights[start : start + _BLOCK]
        nearness = np.concatenate([weight * part, weight], axis=1) @ against
        found[start : start + _BLOCK] = nearness.argmax(axis=1)
    return found


def means(vectors: Array, weights: Array | None, codes: Array, centers: Array) -> Array:
    """The weighted mean of the vectors of each code, f32 [entries, d]; that of `centers` where there are none."""
    entries, d = centers.shape
    found = centers.copy()
    for axis in range(d):
        weight = None if weights is None else weights[:, axis]
        total = np.bincount(codes, weight, entries)
        value = vectors[:, axis] if weight is None else vectors[:, axis] * weight
        sums = np.bincount(codes, value, entries)
        found[:, axis] = np.where(total > 0, sums / np.maximum(total, np.finfo(np.float64).tiny), centers[:, axis])
    return np.asarray(found)


def cluster(vectors: Array, weights: Array | None, entries: int, *, seed: int, rounds: int = 10) -> Array:
    """Centers [entries, d] of vectors f32 [P, d] by Lloyd's algorithm, in f32 numbers that f16 holds.

    Entries that nothing is nearest to move to vectors drawn at random. The same seed gives the same centers.
    """
    random = np.random.default_rng(seed)
    centers = vectors[random.choice(len(vectors), entries, replace=len(vectors) < entries)]
    for _ in range(rounds):
        codes = assign(vectors, weights, centers)
        centers = means(vectors, weights, codes, centers)
        unused = np.flatnonzero(np.bincount(codes, minlength=entries) == 0)
        centers[unused] = vectors[random.choice(len(vectors), len(unused))]
    return np.asarray(centers.astype(np.float16), np.float32)
