"""torchao, as transformers saves it in safetensors.

A tensor subclass is taken apart: `_weight_qdata`, `_weight_scale` and so on, with its class, its `block_size` and its
shape in the file's metadata.

- `Int8Tensor` [N, K] has a scale a row or group, `IntxUnpackedToInt8Tensor` codes of fewer bits in i8.
- `Int4Tensor`: bytes of two signed codes, the first in the low bits; scales and zeros [K / g, N].
- `Int4TilePackedTo4dTensor`: tiles of tensor cores, with scales and zeros together, [K / g, N, 2]. K is padded.

Weights of 4 bits are (code - 8) * scale + zero, where `zero` is in floating point. (torchao/prototype/safetensors,
torchao/quantization/quantize_/workflows/int4, and ATen's int4mm.cu for the tiles)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite, integer_weights
from ovpass.conversion.packed.tensors import Tensors
from ovpass.conversion.packed.words import unpack_words
from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module
from ovpass.support.structured_text import parse_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_SCALED = "_weight_act_pre_scale"
_PARTS = ("_weight_qdata", "_weight_scale", "_weight_zero_point", "_weight_scale_and_zero", _SCALED)
_DYNAMIC = "Int8DynamicActivation"
_MIDDLE = 8


def open_torchao(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """Weights in 8 and 4 bits, weight-only or with activations in i8."""
    asked_for = config.get("quant_type")
    kind = str(asked_for["default"]["_type"] if isinstance(asked_for, Mapping) else asked_for)

    def unpack(name: str) -> PackedLayer:
        described = parse_json(tensors.metadata.get(f"{name}.weight", "{}"))
        if (found := described.get("_type")) not in _READERS:
            raise ModelError(
                f"{tensors.folder}: {name} is {found} ({kind}), which cannot be converted, only {', '.join(_READERS)}; "
                "start from the unquantized model"
            )
        if f"{name}.{_SCALED}" in tensors:
            raise ModelError(f"{tensors.folder}: {name} has activations scaled (act_pre_scale); quantize it without")
        return _READERS[found](tensors, name, tuple(int(size) for size in described["_data"].get("shape", ())))

    asked = kind.startswith(_DYNAMIC)
    notes = ("the checkpoint asks for activations in int8, dynamic, per token",) if asked else ()
    return Unpacker(_PARTS[:1], _PARTS, unpack, notes, -1 if asked else None)


def _read_8_bits(tensors: Tensors, name: str, _: tuple[int, ...]) -> PackedLayer:
    data = tensors.get(f"{name}._weight_qdata")
    if data.dtype != "I8" or len(data.shape) != 2:
        raise ValueError(f"codes are {data.dtype} {list(data.shape)}, not a matrix of I8")
    scales = _floats(tensors, f"{name}._weight_scale").reshape(data.shape[0], -1)
    points = np.zeros(scales.shape, np.int16)
    if f"{name}._weight_zero_point" in tensors:
        stored = tensors.stored(f"{name}._weight_zero_point").astype(np.int16)
        points = np.broadcast_to(stored.reshape(data.shape[0], -1), scales.shape)
    return PackedLayer(name, integer_weights(data.stored().astype(np.int16) + 128, points + 128, scales, 8))


def _read_plain(tensors: Tensors, name: str, _: tuple[int, ...]) -> PackedLayer:
    packed = tensors.stored(f"{name}._weight_qdata").view(np.uint8)
    codes = np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(len(packed), -1)
    scales, zeros = (_floats(tensors, f"{name}._weight_{part}").T for part in ("scale", "zero_point"))
    return _of_4_bits(name, codes ^ _MIDDLE, scales, zeros)


def _read_tiles(tensors: Tensors, name: str, shape: tuple[int, ...]) -> PackedLayer:
    """Tiles [N / 8, K / (32 * p), 32, p] of 32-bit words.

    A lane of a tile is row, then column: 8 x 4. A word has eight codes: of even columns the four that are 8 apart, then
    those of the odd ones.
    """
    n, k = shape
    words = tensors.stored(f"{name}._weight_qdata")
    rows, columns, _, pairs = words.shape
    nibbles = unpack_words(words, 4).reshape(rows, columns, 8, 4, pairs, 2, 4)
    codes = nibbles.transpose(0, 2, 1, 4, 6, 3, 5).reshape(rows * 8, columns * pairs * 32)
    together = _floats(tensors, f"{name}._weight_scale_and_zero")
    group = codes.shape[1] // len(together)
    scales, zeros = (together[: k // group, :n, part].T for part in (0, 1))
    return _of_4_bits(name, codes[:n, :k], scales, zeros)


def _of_4_bits(name: str, codes: Array, scales: Array, zeros: Array) -> PackedLayer:
    """(code - 8) * scale + zero is (code - (8 - zero / scale)) * scale."""
    points = np.divide(zeros, scales, out=np.zeros(scales.shape, np.float32), where=scales != 0)
    return PackedLayer(name, integer_weights(codes, np.float32(_MIDDLE) - points, scales, 4))


def _floats(tensors: Tensors, name: str) -> Array:
    found = tensors.floats(name).astype(np.float32)
    check_finite(tensors, name, found)
    return found


_READERS: dict[str, Callable[[Tensors, str, tuple[int, ...]], PackedLayer]] = {
    "Int8Tensor": _read_8_bits,
    "IntxUnpackedToInt8Tensor": _read_8_bits,
    "Int4Tensor": _read_plain,
    "Int4TilePackedTo4dTensor": _read_tiles,
}
"""By the class of the tensor."""
