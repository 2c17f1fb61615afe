"""The weights of the file, exactly, in place of those that the frontend re-quantizes or rounds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.gguf_exact import dequantized
from ovpass.conversion.gguf_frontend.blocks import BlockWeights, read_blocks
from ovpass.conversion.gguf_frontend.corrections import order_in_head, reorder_norms
from ovpass.conversion.gguf_frontend.nodes import redirect
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.conversion.requantization import Requantizer, has_integers
from ovpass.errors import ModelError
from ovpass.formats import FORMATS, integer
from ovpass.formats.base import ChainForm, EncodedWeights
from ovpass.formats.writing import compute_type

Array = npt.NDArray[Any]
Rows = slice | Array

_FLOATS = ("F16", "F32", "BF16")

_NODE = re.compile(r"weight\.weight_(.+\.weight)")
_ROTATED = re.compile(r"\.attn_[qk]\.weight")
_PARTS = re.compile(r"(.*)\.attn_([qkv])\.weight")


@dataclass
class Placed:
    """What the weights became: types of the file by how many, and the error where zero points were rounded."""

    rounded: Counter[str] = field(default_factory=Counter)
    dequantized: Counter[str] = field(default_factory=Counter)
    floating: Counter[str] = field(default_factory=Counter)
    error: float = 0.0
    size: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """What is made of weights: all in f16, zero points rounded to whole ones, or what has no integers re-quantized."""

    exact: bool = False
    integer_zero_points: bool = False
    requantizer: Requantizer | None = None


def place_weights(model: ov.Model, file: GgufFile, wanted: Wanted) -> Placed:
    """Write the weights of every matrix anew.

    Raises:
        ModelError: for a matrix that the file does not have in that shape.
    """
    placed, tensors = Placed(), {tensor.name: tensor for tensor in file.reader.tensors}
    if (order := order_in_head(model, file)) is not None:
        reorder_norms(model, order)
    for node in model.get_ordered_ops():
        found = _NODE.fullmatch(node.get_friendly_name())
        if found:
            tensor, rows = _rows(found[1], tensors, file)
            if order is not None and _ROTATED.search(found[1]):
                rows = (np.arange(0, int(tensor.shape[-1]), len(order))[:, None] + order).reshape(-1)
            if len(tensor.shape) > 1:
                weights = _replacement(file, tensor, rows, found[1], placed, wanted)
                _check_shape(file, found[1], node, weights)
                redirect(node.output(0), weights)
    return placed


def _rows(name: str, tensors: dict[str, Any], file: GgufFile) -> tuple[Any, Rows]:
    """The tensor of that name; of queries, keys and values that the file keeps in one, their rows."""
    if name in tensors:
        return tensors[name], slice(None)
    part = _PARTS.fullmatch(name)
    if part is None and name == "output.weight":
        return tensors["token_embd.weight"], slice(None)
    if part is None or f"{part[1]}.attn_qkv.weight" not in tensors:
        raise ModelError(f"{file.path}: lacks tensor {name}; download it again")
    heads = int(file.value("attention.head_count"))
    size = int(file.value("attention.key_length", int(file.value("embedding_length")) // heads))
    keys = int(file.value("attention.head_count_kv", heads)) * size
    start = {"q": 0, "k": heads * size, "v": heads * size + keys}[part[2]]
    return tensors[f"{part[1]}.attn_qkv.weight"], slice(start, start + (heads * size if part[2] == "q" else keys))


def _replacement(file: GgufFile, tensor: Any, rows: Rows, name: str, placed: Placed, wanted: Wanted) -> ov.Output:
    kind = tensor.tensor_type.name
    if wanted.exact or kind in _FLOATS:
        return _in_f16(dequantized(file, tensor)[..., rows, :], name)
    blocks = read_blocks(tensor, rows)
    if blocks is None:
        values = dequantized(file, tensor)[..., rows, :]
        if wanted.requantizer is not None:
            return _written(wanted.requantizer.encode(name, values.astype(np.float32)), name)
        placed.dequantized[kind] += 1
        return _in_f16(values, name)
    return _written(_encoded(blocks, kind, name, placed, wanted), name)


def _encoded(blocks: BlockWeights, kind: str, name: str, placed: Placed, wanted: Wanted) -> EncodedWeights:
    whole = blocks.zero_point is None
    if wanted.requantizer is not None and not (whole and has_integers(blocks.encoded)):
        return wanted.requantizer.encode(name, blocks.values())
    if blocks.zero_point is None:
        return blocks.encoded
    if wanted.integer_zero_points:
        rounded = _rounded(blocks)
        placed.rounded[kind] += 1
        _measure(blocks, rounded, placed)
        return rounded
    placed.floating[kind] += 1
    return replace(blocks.encoded, zero_point=blocks.zero_point.astype(np.float16))


def _in_f16(values: Array, name: str) -> ov.Output:
    node = op.constant(values)
    node.set_friendly_name(name)
    return op.convert(node, "f32").output(0)


def _written(encoded: EncodedWeights, name: str) -> ov.Output:
    return FORMATS[encoded.encoding.format].write(encoded, ChainForm(name, f"{name}/", compute_type(encoded)))


def _rounded(blocks: BlockWeights) -> EncodedWeights:
    """The same codes with the nearest whole zero points that their type holds."""
    encoded, points = blocks.encoded, blocks.zero_point
    assert points is not None
    _, high = integer.code_range(encoded.encoding.element_type)
    return replace(encoded, zero_point=np.rint(points).clip(0, high).astype(np.uint8))


def _measure(blocks: BlockWeights, rounded: EncodedWeights, placed: Placed) -> None:
    """Add up squares of the error, and of the weights."""
    exact = blocks.values()
    placed.error += float(np.square(FORMATS[integer.NAME].decode(rounded) - exact).sum(dtype=np.float64))
    placed.size += float(np.square(exact).sum(dtype=np.float64))


def _check_shape(file: GgufFile, name: str, node: ov.Node, weights: ov.Output) -> None:
    if node.get_output_partial_shape(0) != weights.get_partial_shape():
        found, wanted = weights.get_partial_shape(), node.get_output_partial_shape(0)
        raise ModelError(f"{file.path}: {name} is {found}, but the model needs {wanted}; download it again")
