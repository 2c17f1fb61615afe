"""Folders of a packed checkpoint with a single layer, called `layer`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.packed.layer import PackedLayer
from ovpass.conversion.safetensors_file import write_safetensors
from ovpass.formats.base import Encoding

Array = npt.NDArray[Any]
_TYPES = {
    "float32": "F32",
    "float16": "F16",
    "int16": "I16",
    "int32": "I32",
    "int8": "I8",
    "uint8": "U8",
    "int64": "I64",
}


def checkpoint(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Array],
    *,
    f8: tuple[str, ...] = (),
    metadata: Mapping[str, str] | None = None,
) -> PackedCheckpoint:
    """A folder with these tensors of a layer; those named in `f8` are bit patterns of f8e4m3."""
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": config}))
    types = {name: "F8_E4M3" if name in f8 else _TYPES[str(tensor.dtype)] for name, tensor in tensors.items()}
    stored = {f"layer.{name}": (types[name], tensor) for name, tensor in tensors.items()}
    reads = {name: (lambda entry=entry: entry) for name, entry in stored.items()}
    write_safetensors(folder / "model.safetensors", reads, metadata or {})
    return PackedCheckpoint(folder)


def unpacked(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Array], *, f8: tuple[str, ...] = ()
) -> PackedLayer:
    return checkpoint(folder, config, tensors, f8=f8).layer("layer")


def words(codes: Array, bits: int = 4) -> Array:
    """32-bit words of the codes along the last axis, the first in the lowest bits."""
    count = 32 // bits
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % count)]).astype(np.uint64)
    shifts = np.arange(count, dtype=np.uint64) * np.uint64(bits)
    found: Array = (padded.reshape(*codes.shape[:-1], -1, count) << shifts).sum(-1)
    return np.asarray(found.astype(np.uint32).view(np.int32))


def encoding_of(layer: PackedLayer) -> Encoding:
    assert layer.encoded is not None
    return layer.encoded.encoding
