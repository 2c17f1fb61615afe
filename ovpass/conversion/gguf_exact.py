"""Dequantize every matrix of a GGUF file to f16, which OpenVINO GenAI reads without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.errors import ModelError
from ovpass.support.extras import extra_module
from ovpass.support.progress import Progress

_FILE_TYPE, _ALL_F16 = "general.file_type", 1
_OWN = ("GGUF.", "general.architecture")
"""What the writer writes by itself."""


def write_f16(file: GgufFile, target: Path, progress: Progress) -> None:
    """Dequantize tensor by tensor; vectors become f32, as converters write them.

    Values are gguf's own (gguf/quants.py), rounded to f16 once: a relative error of at most 2^-11.

    Raises:
        ModelError: for a type that gguf cannot dequantize, and values beyond f16.
    """
    gguf = extra_module("gguf", "gguf", "reading GGUF files")
    writer = gguf.GGUFWriter(target, file.architecture)
    _copy_metadata(file, writer, gguf.GGUFValueType.ARRAY)
    writer.add_file_type(_ALL_F16)
    for tensor in file.reader.tensors:
        dtype, shape = np.dtype(_dtype(tensor)), [int(size) for size in reversed(tensor.shape)]
        writer.add_tensor_info(tensor.name, shape, dtype, int(np.prod(shape)) * dtype.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for index, tensor in enumerate(file.reader.tensors):
        progress(f"dequantizing tensor {index + 1} of {len(file.reader.tensors)}")
        writer.write_tensor_data(dequantized(file, tensor))
    writer.close()


def _copy_metadata(file: GgufFile, writer: Any, array: Any) -> None:
    for key, field in file.reader.fields.items():
        if key.startswith(_OWN) or key == _FILE_TYPE:
            continue
        try:
            value = field.contents()
        except (ValueError, LookupError) as error:
            raise ModelError(f"{file.path}: its {key} cannot be read: {error}") from error
        writer.add_key_value(key, value, field.types[0], field.types[-1] if field.types[0] == array else None)


def _dtype(tensor: Any) -> type[np.floating[Any]]:
    return np.float16 if len(tensor.shape) > 1 else np.float32


def dequantized(file: GgufFile, tensor: Any) -> Any:
    """A matrix in f16, a vector in f32.

    Raises:
        ModelError: for a type that gguf cannot dequantize, and values beyond f16.
    """
    quants = extra_module("gguf.quants", "gguf", "reading GGUF files")
    kind = tensor.tensor_type.name
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            stored = quants.dequantize(tensor.data, tensor.tensor_type).astype(_dtype(tensor))
    except NotImplementedError as error:
        raise ModelError(f"{file.path}: gguf cannot dequantize {kind} ({tensor.name})") from error
    if not np.isfinite(stored).all():
        raise ModelError(f"{file.path}: {tensor.name} ({kind}) has values that are not finite in f16")
    return stored
