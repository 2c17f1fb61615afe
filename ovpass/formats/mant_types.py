"""Which M-ANT type suits a group by its variance, which hardware sums up while values come."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ovpass.formats.mant import choose
from ovpass.formats.mant_encoding import COEFFICIENTS, mant

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

_SAMPLES = 500


@cache
def variance_limits(group_size: int) -> tuple[float, ...]:
    """The limits of mean(x^2) / max|x|^2 between neighbouring coefficients, ascending, for groups of so many values.

    They part best what squared errors choose for groups of eight distributions, from heavy tails to none; the more
    values, the larger the largest, so that limits fall. The paper (arXiv 2502.18755, section V) fits a table offline.
    """
    groups = _groups(group_size)
    types, _ = choose(groups[:, np.newaxis], mant(4, group_size))
    variance = (groups**2).mean(axis=1) / np.abs(groups).max(axis=1) ** 2
    order = np.argsort(variance)
    ascending, types = variance[order], types[order, 0]
    limits = []
    for index in range(len(COEFFICIENTS) - 1):
        right = np.cumsum(np.where(types <= index, 1, -1))
        limits.append(float(ascending[right.argmax()]))
    return tuple(np.maximum.accumulate(limits).tolist())


def _groups(size: int) -> Array:
    rng, shape = np.random.default_rng(0), (_SAMPLES, size)
    normal, uniform = rng.standard_normal(shape), rng.uniform(-1, 1, shape)
    found = [
        *(normal, uniform, uniform**3, np.sin(np.pi * uniform), rng.laplace(size=shape)),
        *(rng.standard_t(3, shape), rng.standard_t(6, shape), normal * np.exp(rng.standard_normal(shape) / 2)),
    ]
    return np.concatenate(found).astype(np.float32)
