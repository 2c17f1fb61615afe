"""What M-ANT weights are: +-(a i + 2^i) * scale.

A code is a sign and i. Each group has a scale and one of up to 16 coefficients a, from powers of two (a = 0) to nearly
integers (a = 120). Source: Hu et al. 2025, arXiv 2502.18755, section IV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np

    from ovpass.ir.graph import Array
else:
    np = lazy_module("numpy")

NAME = "mant"
COEFFICIENTS = (0, 5, 10, 17, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120)
"""The values of a that the paper searches."""


@dataclass(frozen=True, kw_only=True)
class MantWeights(EncodedWeights):
    """Weights in M-ANT; `types` [..., N, groups] are indices to the coefficients, the table of the encoding."""

    types: Array


def mant(bits: int, group_size: int | None) -> Encoding:
    """The encoding of 3 or 4 bits a weight."""
    return Encoding(NAME, f"u{bits}", group_size, table=COEFFICIENTS)


def of_mant(encoded: EncodedWeights) -> MantWeights:
    """The same.

    Raises:
        ValueError: for weights in another format.
    """
    if not isinstance(encoded, MantWeights):
        raise ValueError(f"{encoded.encoding.format} is not {NAME}")
    return encoded


def integers(encoded: EncodedWeights) -> Array:
    """What the codes stand for before they are scaled, f32 [..., N, K]: integers.

    Raises:
        ValueError: for weights in another format.
    """
    own = of_mant(encoded)
    blocks = own.codes.reshape(*own.types.shape, -1)
    return np.asarray(values_by_type(own.encoding)[own.types[..., None], blocks].reshape(own.codes.shape))


def magnitudes(encoding: Encoding) -> Array:
    """a i + 2^i, f32 [coefficients, half of the codes], ascending.

    Raises:
        ValueError: as `encode`.
    """
    if encoding.element_type not in ("u3", "u4") or not encoding.symmetric:
        raise ValueError(f"{encoding.element_type} codes; M-ANT has u3 and u4 without a zero point")
    a = np.array(encoding.table, np.float32)
    if not 1 <= len(a) <= 16 or (a < 0).any() or (a != np.floor(a)).any() or a.max() > 256:
        raise ValueError(f"coefficients {encoding.table}; M-ANT has 1 to 16 whole ones, from 0 to 256")
    i = np.arange(4 if encoding.element_type == "u3" else 8, dtype=np.float32)
    return np.asarray(a[:, None] * i + np.exp2(i))


def values_by_type(encoding: Encoding) -> Array:
    """What each code stands for, f32 [coefficients, codes]: the sign is the highest bit.

    Raises:
        ValueError: as `encode`.
    """
    positive = magnitudes(encoding)
    return np.concatenate([positive, -positive], axis=1)
