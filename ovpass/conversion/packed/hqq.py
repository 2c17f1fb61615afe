"""HQQ, as transformers saves it.

`W_q` holds codes, packed by rows: of a matrix with r rows, word number i has the code of row i in its highest bits,
that of row i + r / codes in the next ones, and so on. Rows are padded to fill the words. `packing` names the bits of a
code and the word, a byte or, with 3 bits, four of them; `view_as_float` says that they are stored as if they were
floats.

The matrix is the weights [N, K] in a row, cut into groups: one group a row (`axis` 1), or one a column (`axis` 0). A
weight is (code - zero) * scale, where `zero` is in floating point. Settings lie beside as tensors, texts as their
characters. (hqq/core/quantize.py, bitpack.py and utils.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite, integer_weights, of_blocks
from ovpass.conversion.packed.tensors import Tensors
from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module
from ovpass.support.structured_text import decode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_PARTS = (
    "W_q", "scale", "zero", "zero_scale", "nbits", "group_size", "shape", "axis", "packing", "unpack_view_dtype",
    "view_as_float", "quant_scale", "quant_zero", "compute_dtype", "offload_meta", "encoded_state_dict",
    "stores_quant_config", "channel_wise", "optimize", "round_zero",
)  # fmt: skip
_PACKINGS = {
    "8bit_u8": (8, "u1"),
    "4bit_u8": (4, "u1"),
    "3bit_32": (3, "u4"),
    "2bit_u8": (2, "u1"),
    "1bit_u8": (1, "u1"),
}
"""Bits of a code, and the word that holds several."""


def open_hqq(_: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """The tensors of each layer tell all."""
    return Unpacker(_PARTS[:1], _PARTS, lambda name: _read(tensors, name))


def _read(tensors: Tensors, name: str) -> PackedLayer:
    n, k = (int(size) for size in tensors.stored(f"{name}.shape"))
    group, axis = _number(tensors, name, "group_size"), _number(tensors, name, "axis")
    zeros, scales = _zeros_and_scales(tensors, name)
    if scales.size == 1:
        group, axis, zeros, scales = k, 1, np.repeat(zeros, n), np.repeat(scales, n)
    if group < 1 or n * k % group or axis not in (0, 1):
        raise ValueError(f"groups of {group} on axis {axis} do not fit {n} x {k} weights")
    rows = (n * k // group, group) if axis else (group, n * k // group)
    codes, bits = _codes(tensors, name, rows)
    if not axis:
        if zeros.shape != scales.shape or scales.shape != rows[1:]:
            raise ValueError(f"{zeros.size} zeros and {scales.size} scales do not fit {rows[1]} groups")
        weights = (codes - zeros.astype(np.float32)) * scales.astype(np.float32)
        return PackedLayer(name, None, plain=weights.reshape(n, k))
    points, whole = (of_blocks(each, (n, k), group) for each in (zeros, scales))
    return PackedLayer(name, integer_weights(codes.reshape(n, k), points, whole, bits))


def _zeros_and_scales(tensors: Tensors, name: str) -> tuple[Array, Array]:
    """One of each for a group, or for all weights; where they are kept apart from the weights, one tensor has both."""
    if any(_number(tensors, name, part) for part in ("quant_zero", "quant_scale") if f"{name}.{part}" in tensors):
        raise ModelError(f"{tensors.folder}: {name} has zeros or scales that are quantized; quantize it without that")
    if f"{name}.zero_scale" in tensors:
        zeros, scales = tensors.floats(f"{name}.zero_scale")
    else:
        zeros, scales = tensors.floats(f"{name}.zero"), tensors.floats(f"{name}.scale")
    for part, values in (("zero", zeros), ("scale", scales)):
        check_finite(tensors, f"{name}.{part}", values)
    return zeros.reshape(-1), scales.reshape(-1)


def _codes(tensors: Tensors, name: str, shape: tuple[int, int]) -> tuple[Array, int]:
    """The codes in that shape, and the bits of one."""
    packing, stored = decode(tensors.get(f"{name}.packing").content().tobytes()), tensors.get(f"{name}.W_q")
    if packing not in _PACKINGS:
        raise ValueError(f"packing {packing!r} is not known, only {', '.join(_PACKINGS)}")
    bits, kind = _PACKINGS[packing]
    words = stored.content().view(kind).reshape(-1, shape[1])
    count = 8 * words.itemsize // bits
    shifts = bits * np.arange(count - 1, -1, -1, dtype=words.dtype)
    codes = (words >> shifts[:, None, None]) & words.dtype.type((1 << bits) - 1)
    if not 0 <= count * len(words) - shape[0] < count:
        raise ValueError(f"W_q holds {count * len(words)} rows of codes, not {shape[0]}")
    return codes.reshape(-1, shape[1])[: shape[0]].astype(np.uint8), bits


def _number(tensors: Tensors, name: str, part: str) -> int:
    return int(tensors.stored(f"{name}.{part}").reshape(()))
