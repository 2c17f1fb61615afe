"""compressed-tensors, which llm-compressor and vLLM's tools write.

Every format has scales (`weight_scale`: a number, [N, 1], [N, K / g] or one a block) and, if asymmetric, zero points.

- `pack-quantized`: `weight_packed` holds 32-bit words along K, the first code in the lowest bits, with the middle of
  the range added; zero points are packed along N in the same way. `weight_shape` is [N, K], and `weight_g_idx` maps
  each element of K to its group (`actorder: group`).
- `int-quantized`, `naive-quantized`, `float-quantized`: `weight` holds i8 or f8e4m3 codes.
- `nvfp4-pack-quantized`, `mxfp4-pack-quantized`: bytes of two f4e2m1 codes, the first in the low bits; scales in f8e4m3
  that are divided by `weight_global_scale`, and exponents of two as u8.

(compressed_tensors/compressors and quantization/quant_args.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import (
    PackedLayer,
    Unpacker,
    along_rows,
    check_finite,
    float_weights,
    group_size,
    groups_in_order,
    integer_weights,
)
from ovpass.conversion.packed.tensors import Tensors
from ovpass.conversion.packed.words import unpack_words
from ovpass.errors import ModelError
from ovpass.formats import float_types, floating
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_PARTS = (
    "weight", "weight_packed", "weight_scale", "weight_zero_point", "weight_g_idx", "weight_shape",
    "weight_global_scale", "input_scale", "input_zero_point", "input_global_scale", "output_scale",
    "output_zero_point",
)  # fmt: skip
_CLASS = "Linear"


@dataclass(frozen=True)
class _Scheme:
    """How the layers of a group of `config_groups` are quantized."""

    form: str
    bits: int
    symmetric: bool
    block: tuple[int, int] | None
    targets: tuple[str, ...]
    activations: Mapping[str, Any] | None


def open_compressed_tensors(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """All formats above, one for each group of layers."""
    form = str(config.get("format"))
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise ModelError("quantization_config: compressed-tensors lacks config_groups; download it again")
    sparse = (config.get("sparsity_config") or {}).get("format", "dense")
    if sparse != "dense":
        raise ModelError(f"quantization_config: sparse weights ({sparse!r}) cannot be converted; start from dense ones")
    schemes = [_scheme(group, form) for group in groups.values()]

    def unpack(name: str) -> PackedLayer:
        scheme = _scheme_of(schemes, name)
        return _READERS[scheme.form](tensors, name, scheme)

    asked = [scheme.activations for scheme in schemes if scheme.activations]
    notes = tuple(dict.fromkeys(f"the checkpoint asks for activations in {_words(each)}" for each in asked))
    group = _activation_group(asked[0]) if len(asked) == len(schemes) else None
    return Unpacker(("weight_packed", "weight_scale"), _PARTS, unpack, notes, group)


def _scheme(group: Mapping[str, Any], form: str) -> _Scheme:
    weights = group.get("weights")
    own = str(group.get("format") or form)
    if own not in _READERS:
        raise ModelError(
            f"quantization_config: compressed-tensors format {own!r} is not known, only {', '.join(_READERS)}"
        )
    if not isinstance(weights, dict):
        raise ModelError("quantization_config: compressed-tensors quantizes no weights; start from another checkpoint")
    bits, block = int(weights.get("num_bits", 8)), weights.get("block_structure")
    if not 2 <= bits <= 8:
        raise ModelError(f"quantization_config: compressed-tensors with {bits} bits cannot be converted, only 2 to 8")
    targets = tuple(str(target) for target in group.get("targets", [_CLASS]))
    blocks = (int(block[0]), int(block[1])) if weights.get("strategy") == "block" and block else None
    return _Scheme(own, bits, bool(weights.get("symmetric", True)), blocks, targets, group.get("input_activations"))


def _scheme_of(schemes: list[_Scheme], name: str) -> _Scheme:
    """A target is the layer's name, a regular expression of it, or the name of a class."""
    for scheme in schemes:
        if any(target == name or (target[:3] == "re:" and re.match(target[3:], name)) for target in scheme.targets):
            return scheme
    of_class = [scheme for scheme in schemes if _CLASS in scheme.targets]
    if not of_class:
        raise ModelError(f"quantization_config: no group of config_groups has {name} as its target; download it again")
    return of_class[0]


def _words(activations: Mapping[str, Any]) -> str:
    kind = f"{activations.get('type', 'int')}{activations.get('num_bits', 8)}"
    strategy = activations.get("strategy")
    size = f" of {activations['group_size']}" if strategy in ("group", "tensor_group") else ""
    when = {True: "dynamic", False: "static"}.get(activations.get("dynamic", False), "partly dynamic")
    symmetric = "" if activations.get("symmetric", True) else ", asymmetric"
    return f"{kind}, {when}, per {strategy}{size}{symmetric}"


def _activation_group(activations: Mapping[str, Any]) -> int | None:
    """OpenVINO quantizes activations while the model runs, to integers of 8 bits."""
    if activations.get("type", "int") != "int" or activations.get("num_bits") != 8:
        return None
    return int(activations["group_size"]) if activations.get("strategy") == "group" else -1


def _read_packed(tensors: Tensors, name: str, scheme: _Scheme) -> PackedLayer:
    n, k = (int(size) for size in tensors.stored(f"{name}.weight_shape"))
    codes = unpack_words(tensors.stored(f"{name}.weight_packed"), scheme.bits)[:, :k]
    if codes.shape != (n, k):
        raise ValueError(f"weight_packed holds {list(codes.shape)} codes, weight_shape says {[n, k]}")
    scales = _scales(tensors, name, (n, k), scheme)
    middle = 2 ** (scheme.bits - 1)
    zero_points = np.full(scales.shape, middle, np.uint8)
    if not scheme.symmetric:
        packed = tensors.stored(f"{name}.weight_zero_point")
        zero_points = _for_each_row(unpack_words(packed.T, scheme.bits).T[:n], scales.shape)
    groups = tensors.stored(f"{name}.weight_g_idx") if f"{name}.weight_g_idx" in tensors else None
    order = groups_in_order(groups, scales.shape[1])
    codes = codes if order is None else codes[:, order]
    return PackedLayer(name, integer_weights(codes, zero_points, scales, scheme.bits), order)


def _read_stored(tensors: Tensors, name: str, scheme: _Scheme) -> PackedLayer:
    weight = tensors.get(f"{name}.weight")
    codes = weight.stored()
    scales = _scales(tensors, name, codes.shape, scheme)
    if weight.dtype == "F8_E4M3":
        return PackedLayer(name, float_weights(codes, scales, "f8e4m3"))
    if weight.dtype != "I8":
        raise ValueError(f"weight is of type {weight.dtype}, not I8 or F8_E4M3")
    middle = 2 ** (scheme.bits - 1)
    zero_points = np.full(scales.shape, middle, np.int16)
    if not scheme.symmetric:
        stored = tensors.stored(f"{name}.weight_zero_point").astype(np.int16)
        zero_points = _for_each_row(_expanded(stored, codes.shape, scheme), scales.shape) + middle
    return PackedLayer(name, integer_weights(codes.astype(np.int16) + middle, zero_points, scales, scheme.bits))


def _read_nvfp4(tensors: Tensors, name: str, scheme: _Scheme) -> PackedLayer:
    """scale / global scale, in f32; the scales stay in f8e4m3."""
    codes, scales = _nibbles(tensors, name), _scales(tensors, name, None, scheme)
    whole = 1 / tensors.floats(f"{name}.weight_global_scale").reshape(())
    check_finite(tensors, f"{name}.weight_global_scale", whole)
    encoding = Encoding(floating.NAME, "f4e2m1", group_size(codes, scales), scale_type="f8e4m3")
    return PackedLayer(name, EncodedWeights(encoding, codes, scales, tensor_scale=whole.astype(np.float32)))


def _read_mxfp4(tensors: Tensors, name: str, _: _Scheme) -> PackedLayer:
    codes, exponents = _nibbles(tensors, name), tensors.stored(f"{name}.weight_scale")
    encoding = Encoding(floating.NAME, "f4e2m1", group_size(codes, exponents), scale_type="f8e8m0")
    return PackedLayer(name, EncodedWeights(encoding, codes, float_types.powers_of_two(exponents)))


def _nibbles(tensors: Tensors, name: str) -> Array:
    packed = tensors.stored(f"{name}.weight_packed")
    return np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(len(packed), -1)


def _scales(tensors: Tensors, name: str, shape: tuple[int, ...] | None, scheme: _Scheme) -> Array:
    """[N, K / g] in f16 or f32."""
    found = tensors.floats(f"{name}.weight_scale")
    check_finite(tensors, f"{name}.weight_scale", found)
    return found if shape is None else _expanded(found, shape, scheme)


def _expanded(values: Array, shape: tuple[int, ...], scheme: _Scheme) -> Array:
    """What is one for a tensor, a row, a group or a block, as one for each group of each row."""
    n, k = shape
    if scheme.block is not None:
        return along_rows(values, (n, k), scheme.block)
    groups = values.reshape(1, 1) if values.size == 1 else values.reshape(len(values), -1)
    if len(groups) not in (1, n) or k % groups.shape[1]:
        raise ValueError(f"scales or zero points {list(values.shape)} do not fit {n} x {k} weights")
    return np.asarray(np.broadcast_to(groups, (n, groups.shape[1])))


def _for_each_row(values: Array, shape: tuple[int, ...]) -> Array:
    if values.shape not in (shape, (1, *shape[1:])):
        raise ValueError(f"zero points {list(values.shape)} do not fit scales {list(shape)}")
    return np.asarray(np.broadcast_to(values, shape))


_READERS: dict[str, Callable[[Tensors, str, _Scheme], PackedLayer]] = {
    "pack-quantized": _read_packed,
    "int-quantized": _read_stored,
    "naive-quantized": _read_stored,
    "float-quantized": _read_stored,
    "nvfp4-pack-quantized": _read_nvfp4,
    "mxfp4-pack-quantized": _read_mxfp4,
}
