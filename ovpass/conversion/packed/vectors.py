"""What checkpoints of vectors have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_TABLES = 256
"""Entries up to which tables of products are smaller than the weights of a row block."""


def as_halves(values: Array) -> Array:
    """In f32, as f16 holds them.

    Raises:
        ValueError: for values that are beyond f16.
    """
    with np.errstate(over="ignore"):
        stored = values.astype(np.float16)
    if not np.isfinite(stored).all():
        raise ValueError("values that are not finite in f16")
    return np.asarray(stored, np.float32)


def note_on(method: str, entries: int) -> tuple[str, ...]:
    """How weights run that have so many entries a codebook."""
    if entries <= _TABLES:
        return (f"{method}: codes and codebooks are kept; plugins decompress them when they load the model",)
    return (
        f"{method}: codes and codebooks of {entries} entries are kept; that is too many for tables of products, so "
        "weights run decompressed",
    )
