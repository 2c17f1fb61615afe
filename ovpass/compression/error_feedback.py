"""Error feedback over the columns of a weight matrix.

Columns are rounded in order, and what rounding loses is made up for in the columns that are still to come, by the
factor U of the inverse second moments (`inverse_factor` in ovpass/compression/hessians.py). With steps of one column
this is GPTQ (Frantar et al. 2022, arXiv 2210.17323, algorithm 1); wider steps round vectors of columns together.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class ColumnQuantizer(Protocol):
    """What rounds columns; it keeps the codes that it chooses."""

    def begin(self, start: int, columns: Array) -> None:
        """A block begins with column `start`: `columns` [N, block] in f32 are what earlier errors made of it.

        Here scales and types of groups are chosen.
        """

    def quantize(self, start: int, columns: Array, inverse: Array) -> Array:
        """The rounded values [N, step] of `columns` [N, step], the first of which is column `start` of the matrix.

        The cost of an error e [N, step] is the squared length of e @ `inverse` [step, step].
        """


def round_with_feedback(
    weights: Array, factor: Array, quantizer: ColumnQuantizer, *, step: int = 1, block: int = 64
) -> Array:
    """The rounded weights [N, K] in f32 of `weights` [N, K], with `factor` [K, K] upper triangular.

    `step` columns are rounded together, and errors leave a block of `block` columns when all of it is rounded.

    Raises:
        ValueError: where steps do not divide blocks, or blocks K.
    """
    n, k = weights.shape
    if block % step or k % block:
        raise ValueError(f"steps of {step} in blocks of {block} do not divide K={k}")
    # Columns lie one after the other in memory, for the loop below goes along them.
    remaining = np.array(weights.T, np.float32, order="C")
    rounded = np.empty_like(remaining)
    upper = factor.astype(np.float32)
    for first in range(0, k, block):
        last = first + block
        current = remaining[first:last]
        errors = np.empty((block, n), np.float32)
        quantizer.begin(first, current.T)
        for at in range(0, block, step):
            own = slice(first + at, first + at + step)
            inverse = np.linalg.inv(factor[own, own]).astype(np.float32)
            rounded[own] = quantizer.quantize(first + at, current[at : at + step].T, inverse).T
            error = inverse.T @ (current[at : at + step] - rounded[own])
            errors[at : at + step] = error
            current[at + step :] -= upper[own, first + at + step : last].T @ error
        remaining[last:] -= upper[first:last, last:].T @ errors
    return np.ascontiguousarray(rounded.T)
