"""Open a GGUF file and check that it can be read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ovpass.conversion.gguf_checks import (
    check_blocks,
    check_finite,
    check_kind_of_tokenizer,
    check_rotation,
    check_tensors,
    check_tokenizer,
)
from ovpass.conversion.gguf_metadata import ARCHITECTURES, TOKENS, GgufFile, config_of
from ovpass.errors import ModelError
from ovpass.support.extras import extra_module

READ_EXACTLY = ("F16", "Q8_0", "Q4_0")
ROUNDED = {"Q4_1": "8 %", "Q4_K": "4 %", "Q6_K": "0.02 %"}
"""Types that GenAI rounds, and the relative error of the weights (measured, see docs/convert.md).

In the 4-bit ones a block's minimum, a float, becomes an integer zero point; in the other, scales become f16.
"""

_REQUIRED = ("block_count", "embedding_length", "attention.head_count")


def open_gguf(path: Path) -> GgufFile:
    """Read the header and make sure that all tensors are there, as far as the architecture is known here.

    Raises:
        ModelError: for a damaged or truncated file.
        ExtraError: if gguf is not installed.
    """
    gguf = extra_module("gguf", "gguf", "reading GGUF files")
    try:
        reader = gguf.GGUFReader(path)
        fields = reader.fields
        architecture = fields["general.architecture"].contents() if "general.architecture" in fields else None
        matrices = [tensor for tensor in reader.tensors if len(tensor.shape) > 1]
        names = {tensor.name for tensor in reader.tensors}
        types = Counter(tensor.tensor_type.name for tensor in matrices)
        file = GgufFile(path, str(architecture), types, "output.weight" not in names, reader)
        _check(file)
        config_of(file)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the reader checks nothing: damage shows as whatever goes wrong first
        what = str(error) or type(error).__name__
        raise ModelError(
            f"{path}: is not a complete GGUF file: {what}; download it again, or upgrade the package gguf"
        ) from error
    return file


def _check(file: GgufFile) -> None:
    if int(file.value("split.count", 0)) > 1:
        raise ModelError(f"{file.path}: is one of several parts; join them first (llama-gguf-split --merge)")
    if missing := [key for key in _REQUIRED if file.value(key) is None]:
        raise ModelError(f"{file.path}: lacks {', '.join(f'{file.architecture}.{key}' for key in missing)}")
    if file.value(TOKENS) is None:
        raise ModelError(f"{file.path}: lacks a tokenizer ({TOKENS})")
    _check_texts(file)
    check_tokenizer(file)
    check_blocks(file)
    if file.architecture in ARCHITECTURES:
        check_tensors(file)


def _check_texts(file: GgufFile) -> None:
    for key in (key for key, field in file.reader.fields.items() if [kind.name for kind in field.types] == ["STRING"]):
        try:
            file.reader.fields[key].contents()
        except ValueError as error:
            raise ModelError(f"{file.path}: its {key} cannot be read: {error}") from error


def check_architecture(file: GgufFile) -> None:
    """Refuse what GenAI's reader does not build.

    Raises:
        ModelError: naming what it builds.
    """
    check_kind_of_tokenizer(file)
    if file.architecture not in ARCHITECTURES:
        raise ModelError(
            f"{file.path}: OpenVINO GenAI does not support architecture {file.architecture!r} from GGUF, only "
            f"{', '.join(ARCHITECTURES)}; convert the model's Hugging Face folder instead"
        )
    check_rotation(file)


def check_readable(file: GgufFile) -> None:
    """Refuse types of weights that GenAI cannot read, and values that are none.

    Raises:
        ModelError: naming them, and for types the way that takes them all.
    """
    if unknown := [name for name in file.types if name not in (*READ_EXACTLY, *ROUNDED)]:
        raise ModelError(
            f"{file.path}: OpenVINO GenAI cannot read {', '.join(unknown)} weights, only "
            f"{', '.join((*READ_EXACTLY, *ROUNDED))}; --exact dequantizes every type to f16"
        )
    check_finite(file)


def notes_on_types(file: GgufFile) -> list[str]:
    """What GenAI's reading of integers loses."""
    return [
        f"OpenVINO GenAI rounded {file.types[name]} {name} matrices, with a relative error of about {error}; "
        "--exact keeps the file's values, in f16"
        for name, error in ROUNDED.items()
        if name in file.types
    ]
