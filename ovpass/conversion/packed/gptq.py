"""GPTQ and AWQ.

A linear layer with K inputs and N outputs has 32-bit words of codes (`qweight`) and zero points (`qzeros`), and
scales for each group of K (`scales` [K / g, N]). A weight is (code - zero point) * scale. GPTQ packs along K, the first
code in the lowest bits. AWQ packs along N in the order 0 2 4 6 1 3 5 7. GPTQ's first format stores zero points minus 1.
With `desc_act`, `g_idx` maps each element of K to its group. (AutoGPTQ qlinear_cuda.py, AutoAWQ packing_utils.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite, groups_in_order, integer_weights
from ovpass.conversion.packed.tensors import Tensors
from ovpass.conversion.packed.words import unpack_words
from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

PARTS = ("qweight", "qzeros", "scales", "g_idx")
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_GPTQ_FORMATS, _AWQ_FORMATS = ("gptq", "gptq_v2"), ("gemm",)


def open_gptq(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """`checkpoint_format` gptq and gptq_v2, with 2, 4 and 8 bits."""
    form = _known(config, "checkpoint_format", _GPTQ_FORMATS)
    bits = int(config.get("bits", 4))
    if bits not in (2, 4, 8):
        raise ModelError(f"quantization_config: gptq with {bits} bits cannot be converted, only with 2, 4 and 8")
    return Unpacker(PARTS[:1], PARTS, lambda name: read_gptq(tensors, name, bits, less=int(form == "gptq")))


def open_awq(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """`version` gemm, with 4 bits."""
    _known(config, "version", _AWQ_FORMATS)
    if (bits := int(config.get("bits", 4))) != 4:
        raise ModelError(f"quantization_config: awq with {bits} bits cannot be converted, only with 4")
    return Unpacker(PARTS[:1], PARTS, lambda name: read_awq(tensors, name))


def _known(config: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    found = str(config.get(key, known[0])).lower()
    if found not in known:
        method = config.get("quant_method")
        raise ModelError(f"quantization_config: {key} {found!r} of {method} is not known, only {', '.join(known)}")
    return found


def read_gptq(tensors: Tensors, name: str, bits: int, *, less: int) -> PackedLayer:
    """A layer with codes of `bits`; zero points are stored `less` than they are."""
    words, zeros, scales = _words_and_scales(tensors, name)
    codes, zero_points = unpack_words(words.T, bits).T, unpack_words(zeros, bits).astype(np.int64) + less
    groups = tensors.stored(f"{name}.g_idx") if f"{name}.g_idx" in tensors else None
    return _layer(tensors, name, codes, zero_points, scales, bits, groups)


def read_awq(tensors: Tensors, name: str) -> PackedLayer:
    """A layer with codes of 4 bits."""
    words, zeros, scales = _words_and_scales(tensors, name)
    codes, zero_points = (unpack_words(part, 4)[:, _awq_columns(part)] for part in (words, zeros))
    return _layer(tensors, name, codes, zero_points, scales, 4, None)


def _words_and_scales(tensors: Tensors, name: str) -> tuple[Array, Array, Array]:
    words, zeros = tensors.stored(f"{name}.qweight"), tensors.stored(f"{name}.qzeros")
    scales = tensors.floats(f"{name}.scales")
    for part, array in (("qweight", words), ("qzeros", zeros), ("scales", scales)):
        if array.ndim != 2 or (part != "scales" and array.dtype != np.int32):
            raise ModelError(f"{tensors.folder}: {name}.{part} is no matrix of {array.dtype} words; download it again")
    check_finite(tensors, f"{name}.scales", scales)
    return words, zeros, scales


def _layer(
    tensors: Tensors, name: str, codes: Array, zero_points: Array, scales: Array, bits: int, groups: Array | None
) -> PackedLayer:
    """Of codes [K, N], zero points and scales [K / g, N]."""
    if codes.shape[1:] != scales.shape[1:] or zero_points.shape != scales.shape or len(codes) % len(scales):
        shapes = f"codes {codes.shape}, zero points {zero_points.shape}, scales {scales.shape}"
        raise ModelError(f"{tensors.folder}: {name}: {shapes} do not fit each other")
    if zero_points.max() > np.iinfo(np.uint8).max:
        raise ModelError(f"{tensors.folder}: {name}: a zero point of {zero_points.max()} is beyond 8 bits")
    if groups is not None and groups.shape != codes.shape[:1]:
        raise ModelError(f"{tensors.folder}: {name}.g_idx is not one for each of {len(codes)} inputs")
    try:
        order = groups_in_order(groups, len(scales))
    except ValueError as error:
        raise ModelError(f"{tensors.folder}: {name}.g_idx: {error}") from error
    codes = codes if order is None else codes[order]
    codes, zero_points, scales = (np.ascontiguousarray(part.T) for part in (codes, zero_points, scales))
    return PackedLayer(name, integer_weights(codes, zero_points, scales, bits), order)


def _awq_columns(words: Array) -> Array:
    """Where in the unpacked words each column lies: nibble i of a word is column _AWQ_ORDER[i]."""
    within = np.argsort(_AWQ_ORDER)
    return np.asarray((np.arange(words.shape[-1])[:, None] * len(within) + within).reshape(-1))
