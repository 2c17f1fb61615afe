"""Floating-point element types of 4 and 8 bits: the value of each code, and the code nearest to a value.

- nf4: the quantiles of a normal distribution of QLoRA (Dettmers et al., 2023, appendix E), which OpenVINO rounds to the
  same f32 numbers (src/core/src/type/nf4.cpp).
- f4e2m1: OCP Microscaling Formats (MX) Specification 1.0, section 5.3.3: no infinity, no NaN.
- f8e4m3, f8e5m2: OCP 8-bit Floating Point Specification 1.0, section 5; e5m2 has infinities, e4m3 has none.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ovpass.ir.graph import Array


_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_FIELDS = {"f4e2m1": (2, 1), "f8e4m3": (4, 3), "f8e5m2": (5, 2)}
"""Bits of exponent and mantissa, beside the sign in the highest bit."""
_LARGEST = {"f4e2m1": 6.0, "f8e4m3": 448.0, "f8e5m2": 57344.0}


@cache
def values_by_code(element_type: str) -> Array:
    """What each code stands for, f32 [16] or [256], NaN and infinity included."""
    if element_type == "nf4":
        return np.array(_NF4, np.float32)
    positive = _without_sign(element_type)
    return np.concatenate([positive, -positive])


def powers_of_two(codes: Array) -> Array:
    """The values (f32) of codes (u8) of f8e8m0, the scales of OCP Microscaling: 2^(code - 127), NaN for 255."""
    values = np.ldexp(np.float32(1), np.minimum(codes, 254).astype(np.int32) - 127)
    return np.asarray(np.where(codes == 255, np.float32(np.nan), values))


def nearest_codes(values: Array, element_type: str) -> Array:
    """The code nearest to each value (f32, finite), u8; ties to the even code, values beyond the largest to that."""
    if element_type == "nf4":
        return nearest(values, values_by_code("nf4"))
    finite = _without_sign(element_type)
    finite = finite[finite <= _LARGEST[element_type]]
    sign = np.signbit(values) * len(_without_sign(element_type))
    return np.asarray(nearest(np.abs(values), finite) + sign, np.uint8)


def nearest(values: Array, table: Array) -> Array:
    """The index of the nearest entry of an ascending table, u8; ties to the even index."""
    middles: Array = (table[1:] + table[:-1]) / np.float32(2)
    index = np.searchsorted(middles, values)
    tied = (index % 2 == 1) & (values == middles[np.minimum(index, len(middles) - 1)])
    return np.asarray(index + tied, np.uint8)


def _without_sign(element_type: str) -> Array:
    exponent_bits, mantissa_bits = _FIELDS[element_type]
    codes = np.arange(2 ** (exponent_bits + mantissa_bits))
    exponent, mantissa = codes >> mantissa_bits, (codes % 2**mantissa_bits) / 2**mantissa_bits
    bias = 2 ** (exponent_bits - 1) - 1
    normal = np.ldexp(1 + mantissa, exponent - bias)
    found: Array = np.where(exponent == 0, np.ldexp(mantissa, 1 - bias), normal).astype(np.float32)
    if element_type == "f8e5m2":
        found[-4:] = np.inf, np.nan, np.nan, np.nan
    elif element_type == "f8e4m3":
        found[-1] = np.nan
    return found
