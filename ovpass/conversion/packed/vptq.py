"""VPTQ: vectors along the outputs, with residual codebooks, and a scale and a bias for each input.

A linear layer with K inputs and N outputs has `centroids.weight` [1, entries * length], `indices` [1, N / length, K]
and, with residual codebooks, `res_centroids.weight`. Packed indices are words of 32 bits in which the bits of the main
code and of the residual code of each input follow each other, the lowest first; others are int16, to be read as
unsigned, with `res_indices`. Column i of the weights is column argsort(`perm`)[i] of what is looked up, times
`weight_scale`[i], plus `weight_bias`[i]. (VPTQ, vptq/layers/vqlinear.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite
from ovpass.conversion.packed.tensors import Tensors
from ovpass.conversion.packed.vectors import as_halves, note_on
from ovpass.errors import ModelError
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_PARTS = (
    "indices", "centroids.weight", "res_indices", "res_centroids.weight", "perm", "weight_scale", "weight_bias"
)  # fmt: skip
_REST = "start from the unquantized model"


def open_vptq(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """Each layer has a configuration of its own, in `config_for_layers`."""
    layers = config.get("config_for_layers")
    if not isinstance(layers, Mapping) or not layers:
        raise ModelError("quantization_config: vptq without config_for_layers; download it again")
    entries = max(int(_pair(layer, "num_centroids", name)[1]) for name, layer in layers.items())
    for name, layer in layers.items():
        _check(layer, name)
    return Unpacker(
        _PARTS[:1], _PARTS, lambda name: _read(tensors, name, _of(layers, name)), notes=note_on("vptq", entries)
    )


def _of(layers: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = layers.get(name)
    if found is None:
        raise ModelError(f"quantization_config: config_for_layers lacks {name}; download it again")
    return found


def _pair(layer: Any, key: str, name: str) -> list[Any]:
    """[of outliers, of the others]"""
    found = layer.get(key) if isinstance(layer, Mapping) else None
    if not isinstance(found, list) or len(found) != 2:
        raise ModelError(f"quantization_config: config_for_layers of {name} has no {key}; download it again")
    return found


def _check(layer: Mapping[str, Any], name: str) -> None:
    """Refuse what does not lie in one set of codebooks.

    Raises:
        ModelError: naming the setting.
    """
    if int(_pair(layer, "vector_lens", name)[0]) > 1 and int(_pair(layer, "num_centroids", name)[0]) > 0:
        raise ModelError(f"quantization_config: vptq with outliers ({name}) cannot be converted; {_REST}")
    if int(layer.get("group_num", 1)) != 1:
        raise ModelError(f"quantization_config: vptq with group_num {layer['group_num']} ({name}) cannot be; {_REST}")
    if int(layer.get("out_features", 0)) % int(_pair(layer, "vector_lens", name)[1]):
        raise ModelError(f"quantization_config: vptq whose vectors do not divide the outputs of {name}; {_REST}")


def _read(tensors: Tensors, name: str, layer: Mapping[str, Any]) -> PackedLayer:
    """A layer, its codes as they are, transposed to [K, N / length]."""
    length, k = int(layer["vector_lens"][1]), int(layer["in_features"])
    counts = [int(layer["num_centroids"][1]), int(layer["num_res_centroids"][1])]
    entries = [count for count in counts if count > 0]
    books = [
        as_halves(tensors.floats(f"{name}.{part}.weight").reshape(1, count, length))
        for part, count in zip(("centroids", "res_centroids"), entries, strict=False)
    ]
    codes = _codes(tensors, name, entries, k, packed=bool(layer.get("is_indice_packed", False)))
    if beyond := [count for own, count in zip(codes, entries, strict=True) if own.max(initial=0) >= count]:
        raise ValueError(f"a code is beyond {beyond[0]} entries")
    scale, shift = np.ones((k, 1), np.float32), None
    order = tensors.stored(f"{name}.perm") if layer.get("enable_perm") else np.arange(k)
    order = (order.view(np.uint16) if order.dtype == np.int16 else order).astype(np.int64)
    if not np.array_equal(np.sort(order), np.arange(k)):
        raise ValueError(f"perm is no permutation of {k} inputs")
    if layer.get("enable_norm"):
        scale, shift = (as_halves(tensors.floats(f"{name}.weight_{part}"))[order, None] for part in ("scale", "bias"))
        check_finite(tensors, f"{name}.weight_scale", scale)
    encoding = VectorEncoding.of(length, entries, along="n")
    return PackedLayer(
        name,
        VectorWeights(
            encoding,
            np.stack([own.astype(np.uint16) for own in codes]),
            scale,
            codebooks=tuple(books),
            shift=shift,
            permutation=np.argsort(order).astype(np.int32) if layer.get("enable_perm") else None,
        ),
    )


def _codes(tensors: Tensors, name: str, entries: list[int], k: int, *, packed: bool) -> list[Array]:
    """The codes [K, N / length] of each codebook."""
    words = tensors.stored(f"{name}.indices")
    if words.ndim != 3 or len(words) != 1:
        raise ValueError(f"indices {list(words.shape)} are not of one set of codebooks")
    if not packed:
        parts = [words, *(tensors.stored(f"{name}.res_indices") for _ in entries[1:])]
        return [np.ascontiguousarray(part[0].view(np.uint16).T) for part in parts]
    widths = [(count - 1).bit_length() for count in entries]
    together = _unpacked(words[0], sum(widths))[:, :k]
    if together.shape[1] != k:
        raise ValueError(f"indices {list(words.shape)} do not hold {k} inputs")
    shifts = np.cumsum([0, *widths[:-1]])
    masked = [(together >> shift) & (2**width - 1) for shift, width in zip(shifts, widths, strict=True)]
    return [np.ascontiguousarray(part.T) for part in masked]


def _unpacked(words: Array, bits: int) -> Array:
    """Numbers of `bits` each (i64) from rows of 32-bit words; they cross the borders of words."""
    little = np.ascontiguousarray(words.astype("<i4")).view(np.uint8)
    stream = np.unpackbits(little, axis=-1, bitorder="little")
    whole = stream.shape[-1] // bits
    digits = stream[..., : whole * bits].reshape(*stream.shape[:-1], whole, bits).astype(np.int64)
    return np.asarray((digits << np.arange(bits)).sum(axis=-1))
