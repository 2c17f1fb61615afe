"""M-ANT weights as 8-bit integers in groups, which plugins keep compressed and quantize activations for.

a i + 2^i are integers, so a group whose largest is at most 127 is the same in i8, with the same scale. One whose
largest is 128, of one sign, is the same with the opposite scale. Others are rounded to 127 steps of their largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ovpass.formats import integer
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.formats.mant_encoding import integers, of_mant

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

_LARGEST = 127


@dataclass(frozen=True)
class Expansion:
    """The weights in i8, the share of groups that are exactly what they were, and the relative error of all.

    The error is the root of the sum of squared differences over that of squared weights.
    """

    weights: EncodedWeights
    exact: float
    error: float


def expand(encoded: EncodedWeights) -> Expansion:
    """M-ANT weights in i8, with scales in f32.

    Raises:
        ValueError: for weights in another format.
    """
    own = of_mant(encoded)
    assert own.scale is not None, "M-ANT has scales"
    groups = integers(own).reshape(*own.types.shape, -1)
    least, most = groups.min(axis=-1), groups.max(axis=-1)
    turned = (most > _LARGEST) & (most <= _LARGEST + 1) & (least >= -_LARGEST)
    fits = turned | ((most <= _LARGEST) & (least >= -_LARGEST - 1))
    sign = np.where(turned, np.float32(-1), np.float32(1))
    largest = np.maximum(-least, most)
    steps = np.where(fits, np.float32(1), np.float32(_LARGEST) / largest)
    codes = (groups * (sign * steps)[..., None]).round().astype(np.int8)
    encoding = Encoding(integer.NAME, "i8", own.encoding.group_size, scale_type="f32")
    weights = EncodedWeights(encoding, codes.reshape(own.codes.shape), np.asarray(own.scale * sign / steps, np.float32))
    return Expansion(weights, float(fits.mean()), _error(own, weights))


def _error(own: EncodedWeights, weights: EncodedWeights) -> float:
    before: Array = integers(own).reshape(*own.codes.shape[:-1], own.groups, -1)
    assert own.scale is not None, "M-ANT has scales"
    values = before * own.scale[..., None]
    lost = integer.decode(weights).reshape(values.shape) - values
    return float(
        np.sqrt((lost.astype(np.float64) ** 2).sum() / max(float((values.astype(np.float64) ** 2).sum()), 1e-30))
    )
