"""A packed linear layer: its weights as they are stored, and how a tool's packing is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.tensors import Tensors
from ovpass.errors import ModelError
from ovpass.formats import FORMATS, floating, integer
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")


@dataclass(frozen=True)
class PackedLayer:
    """A layer whose weights [N, K] are `encoded`, or `plain` in f32 where no format holds their codes.

    `order` [K] tells which input each column of the codes belongs to, None where they are in order.
    """

    name: str
    encoded: EncodedWeights | None
    order: Array | None = None
    plain: Array | None = None

    def stored(self) -> Array:
        """The weights [N, K] in f32, with inputs in the order of the codes."""
        if self.encoded is not None:
            return FORMATS[self.encoded.encoding.format].decode(self.encoded)
        assert self.plain is not None
        return self.plain

    def values(self) -> Array:
        """The weights [N, K] in f32, with inputs in order."""
        found = self.stored()
        if self.order is None:
            return found
        ordered = np.empty_like(found)
        ordered[:, self.order] = found
        return ordered


@dataclass(frozen=True)
class Unpacker:
    """How the layers of a checkpoint are unpacked.

    A module that has a tensor of one of the names `markers` is packed, and its tensors called one of `parts` hold its
    weights. `unpack` reads the layer of that name. `notes` is what the checkpoint asks for besides, and
    `activation_group` the group size in which it quantizes activations while the model runs: -1 for whole tokens,
    None where it does not.
    """

    markers: tuple[str, ...]
    parts: tuple[str, ...]
    unpack: Callable[[str], PackedLayer]
    notes: tuple[str, ...] = ()
    activation_group: int | None = None


Packing = Callable[[Mapping[str, Any], Tensors], Unpacker]
"""Reads quantization_config, and raises ModelError for what it does not know."""


def float_weights(codes: Array, scales: Array, element_type: str) -> EncodedWeights:
    """Codes [N, K] that are bit patterns of a type, times scales [N, K / g].

    Raises:
        ValueError: where they do not fit each other.
    """
    group = group_size(codes, scales)
    encoding = Encoding(floating.NAME, element_type, group, scale_type=scale_type(scales))
    return EncodedWeights(encoding, codes, scales.astype(np.float32))


def group_size(codes: Array, scales: Array) -> int:
    """How many of the codes [N, K] along K share one of the scales [N, K / g].

    Raises:
        ValueError: where they do not fit each other.
    """
    if codes.ndim != 2 or scales.ndim != 2 or len(scales) != len(codes) or codes.shape[1] % max(scales.shape[1], 1):
        raise ValueError(f"scales {list(scales.shape)} do not fit weights {list(codes.shape)}")
    return int(codes.shape[1] // scales.shape[1])


def scale_type(scales: Array) -> str:
    """f16 where that holds all scales (or zero points) exactly, else f32."""
    with np.errstate(over="ignore"):
        return "f16" if np.array_equal(scales.astype(np.float16).astype(np.float32), scales) else "f32"


def integer_weights(codes: Array, zero_points: Array, scales: Array, bits: int) -> EncodedWeights:
    """(code - zero point) * scale, of codes [N, K] and zero points [N, K / g], in 4 or 8 bits.

    Codes are signed where all zero points are in the middle of `bits`. Zero points can be one beyond the codes. Those
    that are not whole, or that no code reaches, stay in floating point.
    """
    points = _as_codes(zero_points)
    whole, middle = points.dtype.kind != "f", 2 ** (bits - 1)
    width = 4 if max(codes.max(), points.max() if whole else 0) < 16 else 8
    symmetric = bool((points == middle).all())
    scales = scales.astype(np.float32)
    group = group_size(codes, scales)
    encoding = Encoding(integer.NAME, f"{'i' if symmetric else 'u'}{width}", group, symmetric, scale_type(scales))
    if symmetric:
        return EncodedWeights(encoding, (codes.astype(np.int16) - middle).astype(np.int8), scales)
    return EncodedWeights(encoding, codes.astype(np.uint8), scales, points)


def _as_codes(zero_points: Array) -> Array:
    """Zero points as u8; in f16 or f32 where that does not hold them."""
    codes = np.rint(zero_points).clip(0, np.iinfo(np.uint8).max).astype(np.uint8)
    if np.array_equal(codes, zero_points):
        return codes
    return zero_points.astype(np.float16 if scale_type(zero_points) == "f16" else np.float32)


def groups_in_order(groups: Array | None, count: int) -> Array | None:
    """The inputs [K] sorted by their group, of `count`; None where they are so already.

    Raises:
        ValueError: where groups differ in size, which OpenVINO cannot express.
    """
    if groups is None:
        return None
    found, sizes = np.unique(groups, return_counts=True)
    if not np.array_equal(found, np.arange(count)) or (sizes != len(groups) // count).any():
        raise ValueError("groups differ in size, which OpenVINO cannot express; start from the unquantized model")
    if np.array_equal(groups, np.arange(len(groups)) // (len(groups) // count)):
        return None
    return np.asarray(np.argsort(groups, kind="stable"))


def along_rows(scales: Array, shape: tuple[int, int], block: tuple[int, int]) -> Array:
    """Scales of blocks [N / rows, K / columns] of a matrix [N, K] as scales of groups along K [N, K / g].

    g is the largest that no block's border cuts, so nothing is rounded.

    Raises:
        ValueError: where there are not as many scales as blocks.
    """
    (n, k), (rows, columns) = shape, block
    group = math.gcd(k, columns)
    if scales.shape != (-(-n // rows), -(-k // columns)):
        raise ValueError(f"scales {list(scales.shape)} do not fit blocks of {rows} x {columns} of {n} x {k} weights")
    return np.asarray(scales[np.arange(n) // rows][:, np.arange(0, k, group) // columns])


def of_blocks(values: Array, shape: tuple[int, int], block: int) -> Array:
    """One of `values` for each block of a matrix [N, K], whose rows follow one another, as groups along K [N, K / g].

    g is the largest that no block's border cuts, so nothing is rounded.

    Raises:
        ValueError: where there are not as many values as blocks.
    """
    n, k = shape
    group = math.gcd(k, block)
    if values.shape != (-(-n * k // block),):
        raise ValueError(f"{values.size} scales do not fit {n} x {k} weights in blocks of {block}")
    return np.asarray(values[np.arange(0, n * k, group) // block].reshape(n, k // group))


def check_finite(tensors: Tensors, name: str, values: Array) -> None:
    """Refuse scales that are no numbers.

    Raises:
        ModelError: naming the tensor.
    """
    if not np.isfinite(values).all():
        raise ModelError(f"{tensors.folder}: {name} has values that are not finite; download it again")
