"""M-ANT weights: types and scales by squared error, by the error of the output, or with error feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.compression.error_feedback import round_with_feedback
from ovpass.compression.hessians import inverse_factor
from ovpass.compression.recipe import Recipe
from ovpass.formats.base import Encoding
from ovpass.formats.mant import choose, round_to
from ovpass.formats.mant_encoding import MantWeights, magnitudes
from ovpass.formats.scales import in_groups

Array = npt.NDArray[Any]

_LARGEST = (1.0,)
_SEARCHED = (0.7, 0.775, 0.85, 0.925, 1.0)
"""Scales by that of the largest weight. To search them by squared errors of weights alone makes outputs worse."""


def encode(weights: Sequence[Array], moments: Array | None, encoding: Encoding, recipe: Recipe) -> list[MantWeights]:
    """Weights [..., N, K] of layers that read one activation, whose second moments [K, K] say what an error costs.

    The error of a weight costs what the mean square of its channel says. With `gptq` what is lost in one column is made
    up for in the columns after it.
    """
    if moments is None:
        return [_nearest(each, None, encoding, _LARGEST) for each in weights]
    cost = np.diag(moments) / max(float(np.diag(moments).mean()), 1e-30)
    if not recipe.gptq:
        return [_nearest(each, cost, encoding, _SEARCHED) for each in weights]
    stacked = np.concatenate(list(weights))
    quantizer = _Columns(cost, encoding, len(stacked))
    round_with_feedback(stacked, inverse_factor(moments), quantizer, block=encoding.group_size or stacked.shape[1])
    return quantizer.split([len(each) for each in weights])


def _nearest(weights: Array, cost: Array | None, encoding: Encoding, factors: Sequence[float]) -> MantWeights:
    groups = in_groups(weights, encoding.group_size)
    importance = None if cost is None else cost.reshape(groups.shape[-2:]).astype(np.float32)
    return round_to(groups, *choose(groups, encoding, importance, factors), encoding)


class _Columns:
    """Rounds column after column; each block is a group, whose type and scale are chosen when it begins."""

    def __init__(self, cost: Array, encoding: Encoding, rows: int) -> None:
        self._cost = cost.astype(np.float32)
        self._encoding = encoding
        self._codes = np.empty((len(cost), rows), np.uint8)
        self._types: list[Array] = []
        self._scales: list[Array] = []
        self._values = self._middles = np.empty((0, rows), np.float32)

    def begin(self, start: int, columns: Array) -> None:
        groups = np.ascontiguousarray(columns)[:, np.newaxis]
        importance = self._cost[np.newaxis, start : start + columns.shape[1]]
        types, scale = choose(groups, self._encoding, importance, _SEARCHED)
        self._types.append(types)
        self._scales.append(scale)
        values = magnitudes(self._encoding)[types[:, 0]] * scale
        self._values = np.ascontiguousarray(values.T)
        self._middles = (self._values[1:] + self._values[:-1]) / np.float32(2)

    def quantize(self, start: int, columns: Array, inverse: Array) -> Array:
        column = columns[:, 0]
        codes = (np.abs(column) > self._middles).sum(axis=0)
        values = np.take_along_axis(self._values, codes[np.newaxis], axis=0)[0]
        negative = column < 0
        self._codes[start] = codes + negative * len(self._values)
        return np.asarray(np.where(negative, -values, values)[:, np.newaxis])

    def split(self, rows: Sequence[int]) -> list[MantWeights]:
        """What was chosen, for matrices of so many rows each."""
        ends = np.cumsum(rows)[:-1]
        types, scales = np.concatenate(self._types, axis=1), np.concatenate(self._scales, axis=1)
        parts = zip(np.split(self._codes.T, ends), np.split(scales, ends), np.split(types, ends), strict=True)
        return [MantWeights(self._encoding, codes, scale, types=own) for codes, scale, own in parts]
