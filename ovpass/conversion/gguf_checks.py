"""Check that a GGUF file has the tensors that its metadata declares and that OpenVINO GenAI reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ovpass.conversion.gguf_frontend.blocks import BLOCKS, read_scales
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.errors import ModelError
from ovpass.support.formatting import counted

BYTE_LEVEL = "gpt2"
"""What llama.cpp calls byte-level BPE."""
_SHOWN = 3
_ROPE_FACTORS = "rope_freqs.weight"
_BLOCK = "blk."


def check_kind_of_tokenizer(file: GgufFile) -> None:
    """GenAI builds byte-level BPE alone.

    Raises:
        ModelError: for another tokenizer.
    """
    if file.tokenizer != BYTE_LEVEL:
        raise ModelError(
            f"{file.path}: OpenVINO GenAI does not build tokenizer {file.tokenizer!r} from GGUF, only 'gpt2' "
            "(byte-level BPE); convert the model's Hugging Face folder instead"
        )


def check_tokenizer(file: GgufFile) -> None:
    """Byte-level BPE has to be complete.

    Raises:
        ModelError: naming what is missing.
    """
    if file.tokenizer != BYTE_LEVEL:
        return
    if missing := [key for key in ("tokenizer.ggml.merges", "tokenizer.ggml.pre") if file.value(key) is None]:
        raise ModelError(f"{file.path}: lacks {', '.join(missing)}, which its tokenizer needs")


def check_tensors(file: GgufFile) -> None:
    """Every tensor of every block has to be there, in the shape that the metadata tell.

    Raises:
        ModelError: naming the tensor, or the metadata.
    """
    found = {tensor.name: tuple(int(size) for size in reversed(tensor.shape)) for tensor in file.reader.tensors}
    required, optional = _shapes(file)
    if missing := sorted(required.keys() - found.keys()):
        raise ModelError(f"{file.path}: lacks {counted(len(missing), 'tensor')}: {_few(missing)}")
    for name, shape in (required | optional).items():
        if name in found and found[name] != shape:
            raise ModelError(
                f"{file.path}: {name} is {list(found[name])}, but the metadata says {list(shape)}; download it again"
            )


def check_finite(file: GgufFile) -> None:
    """Look at all scales, and at values in floating point; matrices of other types are not asked for.

    Raises:
        ModelError: naming the tensor where one is not finite.
    """
    for tensor in file.reader.tensors:
        if not all(np.isfinite(values).all() for values in _floats(tensor)):
            raise ModelError(f"{file.path}: {tensor.name} has values that are not finite; download it again")


def notes_on_tensors(file: GgufFile) -> list[str]:
    """What GenAI leaves out."""
    required, optional = _shapes(file)
    names = {tensor.name for tensor in file.reader.tensors}
    notes = []
    if scaling := _scaling(file, names):
        notes.append(
            f"OpenVINO GenAI drops the rotary position scaling ({scaling}): angles are wrong in proportion to the "
            "position, so long texts get wrong answers; convert the model's Hugging Face folder instead"
        )
    unknown = sorted(names - required.keys() - optional.keys() - {_ROPE_FACTORS})
    if unknown:
        notes.append(f"OpenVINO GenAI drops {counted(len(unknown), 'tensor')} that it does not know: {_few(unknown)}")
    return notes


def check_blocks(file: GgufFile) -> None:
    """There are as many blocks as the metadata tell.

    Raises:
        ModelError: for another number.
    """
    names = (tensor.name for tensor in file.reader.tensors)
    blocks, said = {name.split(".")[1] for name in names if name.startswith(_BLOCK)}, int(file.value("block_count"))
    if len(blocks) != said:
        raise ModelError(
            f"{file.path}: has tensors of {counted(len(blocks), 'block')}, not {said} as by "
            f"{file.architecture}.block_count; download it again"
        )


def _shapes(file: GgufFile) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """[N, K] of all that has to be there, and of what may be."""
    hidden, ffn = int(file.value("embedding_length")), int(file.value("feed_forward_length"))
    heads, words = int(file.value("attention.head_count")), len(file.value("tokenizer.ggml.tokens"))
    head = int(file.value("attention.key_length", hidden // heads))
    keys = int(file.value("attention.head_count_kv", heads)) * head
    projections = {"attn_q": heads * head, "attn_k": keys, "attn_v": keys}
    norms, output = ("attn_norm", "ffn_norm"), {"attn_output": (hidden, heads * head), "ffn_down": (hidden, ffn)}
    inner = {name: (n, hidden) for name, n in {**projections, "ffn_gate": ffn, "ffn_up": ffn}.items()}
    each: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in {**inner, **output}.items()}
    each |= {f"{name}.weight": (hidden,) for name in norms}
    maybe: dict[str, tuple[int, ...]] = {
        f"{name}.bias": (n,) for name, n in {**projections, "attn_output": hidden}.items()
    }
    maybe |= {f"{name}.weight": (head,) for name in ("attn_q_norm", "attn_k_norm")}
    required: dict[str, tuple[int, ...]] = {"token_embd.weight": (words, hidden), "output_norm.weight": (hidden,)}
    optional: dict[str, tuple[int, ...]] = {"output.weight": (words, hidden)}
    for block in range(int(file.value("block_count"))):
        required |= {f"{_BLOCK}{block}.{name}": shape for name, shape in each.items()}
        optional |= {f"{_BLOCK}{block}.{name}": shape for name, shape in maybe.items()}
    return required, optional


def check_rotation(file: GgufFile) -> None:
    """GenAI rotates all of a head.

    Raises:
        ModelError: for a file that rotates a part.
    """
    head = int(file.value("attention.key_length", file.value("embedding_length") // file.value("attention.head_count")))
    rotated = int(file.value("rope.dimension_count", head))
    if rotated != head:
        raise ModelError(
            f"{file.path}: rotates {rotated} of the {head} elements of a head "
            f"({file.architecture}.rope.dimension_count); OpenVINO GenAI rotates all; convert its Hugging Face folder "
            "instead"
        )


def _scaling(file: GgufFile, names: set[str]) -> str | None:
    if _ROPE_FACTORS in names:
        return _ROPE_FACTORS
    kind = file.value("rope.scaling.type", "linear")
    factor = file.value("rope.scaling.factor", file.value("rope.scale_linear", 1))
    return None if kind == "none" or factor == 1 else f"{kind}, factor {factor:g}"


def _floats(tensor: Any) -> list[Any]:
    if tensor.tensor_type.name in ("F16", "F32"):
        return [tensor.data]
    if tensor.tensor_type.name not in BLOCKS:
        return []
    return [values for values in read_scales(tensor.data, tensor.tensor_type) if values is not None]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
