"""Codes of few bits in 32-bit words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_WORD = 32


def unpack_words(words: Array, bits: int) -> Array:
    """The codes of 32-bit words along the last axis, u8, the lowest bits first; a word's last bits may be left over."""
    shifts = np.arange(0, _WORD - bits + 1, bits, dtype=np.uint32)
    codes = (words.astype(np.int32).view(np.uint32)[..., None] >> shifts) & np.uint32((1 << bits) - 1)
    return np.asarray(codes.reshape(*words.shape[:-1], -1), np.uint8)
