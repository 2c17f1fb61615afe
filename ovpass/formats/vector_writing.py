"""Vector-quantized weights in public ops, and read from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.base import ChainForm
from ovpass.formats.packing import constant_of, values_of
from ovpass.formats.vector_chain import VectorChain
from ovpass.formats.vector_encoding import VectorWeights
from ovpass.formats.writing import Namer, namer

if TYPE_CHECKING:
    from ovpass.ir.graph import Array, Graph

_COMPUTE = "f32"
"""In f16 the sums would be rounded: what OpenVINO reads is what `decode` returns."""


def write_vectors(encoded: Sequence[VectorWeights], forms: Sequence[ChainForm]) -> list[ov.Output]:
    """The weights as MatMuls read them.

    Codebooks that are one object are one Constant, named after the first of the matrices. Codes are converted to i32:
    OpenVINO folds such chains when it compiles them, and keeps nothing but the weights.
    """
    written: dict[int, ov.Output] = {}
    return [_write(own, form, written) for own, form in zip(encoded, forms, strict=True)]


def _write(encoded: VectorWeights, form: ChainForm, written: dict[int, ov.Output]) -> ov.Output:
    named, along_n = namer(form), encoded.vectors.along == "n"
    rows, columns = encoded.matrix_shape
    node: ov.Node | None = None
    for number, codebook in enumerate(encoded.codebooks):
        if id(codebook) not in written:
            written[id(codebook)] = _codebook(codebook, number, named)
        book = written[id(codebook)]
        found = named(op.gather(book, _indices(encoded, form, number), op.constant(np.int64(0))), f"vectors_{number}")
        node = found if node is None else named(op.add(node, found), f"sum_{number}")
    grouped = [rows, columns] if encoded.groups == 1 else [rows, encoded.groups, columns // encoded.groups]
    node = named(_reshaped(node, grouped), "matrix")
    assert encoded.scale is not None, "vectors have scales"
    scale = encoded.scale if encoded.groups == 1 else encoded.scale[..., None]
    node = named(op.multiply(node, _half(scale, "scale", named)), "scaled")
    if encoded.groups > 1:
        node = named(_reshaped(node, [rows, columns]), "reshaped")
    if encoded.shift is not None:
        node = named(op.add(node, _half(encoded.shift, "shift", named)), "shifted")
    if encoded.permutation is not None:
        order = named(op.constant(encoded.permutation.astype(np.int32)), "permutation")
        node = named(op.gather(node, order, op.constant(np.int64(0 if along_n else 1))), "permuted")
    if form.transposed != along_n:
        node = named(op.transpose(node, op.constant(np.array([1, 0], np.int64))), "transposed")
    return (node if form.output == _COMPUTE else named(op.convert(node, form.output), "narrowed")).output(0)


def read_vectors(graph: Graph, chain: VectorChain) -> VectorWeights:
    """The weights of a chain in the graph of an `ov.Model`."""
    encoding = chain.encoding

    def values(index: int) -> Array:
        return values_of(graph.node(index))

    codes = np.stack([values(each.codes).astype(np.uint16) for each in chain.lookups])
    books = [values(each.codebook).astype(np.float32) for each in chain.lookups]
    rows = codes.shape[1]
    return VectorWeights(
        encoding,
        codes,
        values(chain.scale).astype(np.float32).reshape(rows, -1),
        codebooks=tuple(book.reshape(encoding.ranges, -1, encoding.vector_length) for book in books),
        shift=None if chain.shift is None else values(chain.shift).astype(np.float32).reshape(rows, 1),
        permutation=None if chain.permutation is None else values(chain.permutation).astype(np.int32),
    )


def _codebook(values: Array, number: int, named: Namer) -> ov.Output:
    """As a Gather reads it, f32 [ranges * entries, vector length]."""
    return _half(values.reshape(-1, values.shape[-1]), f"codebook_{number}", named).output(0)


def _indices(encoded: VectorWeights, form: ChainForm, number: int) -> ov.Node:
    named, encoding = namer(form), encoded.vectors
    codes = constant_of(encoded.codes[number], encoding.code_types[number])
    codes.set_friendly_name(f"{form.codes}_{number}" if number else form.codes)
    indices = named(op.convert(codes, "i32"), f"codes_{number}")
    if encoding.ranges == 1:
        return indices
    vectors = encoded.codes.shape[2]
    offsets = np.arange(vectors) // (vectors // encoding.ranges) * encoding.entries[number]
    return named(op.add(indices, op.constant(offsets.astype(np.int32)[None])), f"indices_{number}")


def _half(values: Array, role: str, named: Namer) -> ov.Node:
    stored = named(op.constant(np.ascontiguousarray(values).astype(np.float16)), role)
    return named(op.convert(stored, _COMPUTE), f"{role}_converted")


def _reshaped(node: ov.Node | None, shape: Sequence[int]) -> ov.Node:
    return op.reshape(node, op.constant(np.array(shape, np.int64)), False)
