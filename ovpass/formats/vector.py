"""Vector quantization: (sum of codebook entries) * scale, in vectors of neighbouring weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ovpass.formats.base import ChainForm, EncodedWeights, Encoding, Format
from ovpass.formats.chain import ConstantInput, WeightChain
from ovpass.formats.vector_chain import find_chain
from ovpass.formats.vector_encoding import NAME, VectorEncoding, VectorWeights
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from ovpass.formats import kmeans, scales, vector_writing
    from ovpass.ir.graph import Array
else:
    np, kmeans = lazy_module("numpy"), lazy_module("ovpass.formats.kmeans")
    scales, vector_writing = lazy_module("ovpass.formats.scales"), lazy_module("ovpass.formats.vector_writing")


def recognize(given: ConstantInput) -> WeightChain | None:
    """Codes that tables of vectors are looked up by."""
    return find_chain(given.graph, given.source, given.k_axis)


def encode(weights: Array, encoding: Encoding) -> EncodedWeights:
    """Weights in the nearest sums of entries, by k-means of this very matrix, with a scale of the root mean square.

    `ovpass compress` does better: it looks at activations.

    Raises:
        ValueError: for another encoding, for weights that are no matrix, and where vectors, groups or ranges do not
            divide the columns.
    """
    if not isinstance(encoding, VectorEncoding):
        raise ValueError(f"{encoding.format} is not {NAME}")
    matrix = as_matrix(weights, encoding)
    groups = scales.in_groups(matrix, encoding.group_size)
    scale, _ = scales.stored_scales(np.sqrt((groups**2).mean(axis=-1)), "f16")
    left = in_ranges((groups / scale[..., None]).reshape(matrix.shape), encoding)
    codes, books = [], []
    for entries in encoding.entries:
        book = np.stack([kmeans.cluster(each, None, entries, seed=0) for each in left])
        code = np.stack([kmeans.assign(each, None, own) for each, own in zip(left, book, strict=True)])
        left = left - np.stack([own[each] for each, own in zip(code, book, strict=True)])
        books.append(book)
        codes.append(from_ranges(code, len(matrix)))
    return VectorWeights(encoding, np.stack(codes), scale, codebooks=tuple(books))


def decode(encoded: EncodedWeights) -> Array:
    """The weights [N, K] in f32.

    Raises:
        ValueError: for weights in another format.
    """
    if not isinstance(encoded, VectorWeights):
        raise ValueError(f"{encoded.encoding.format} is not {NAME}")
    rows, columns = encoded.matrix_shape
    matrix = vectors_of(encoded.codes, encoded.codebooks).reshape(rows, columns)
    matrix = scales.scaled(matrix, encoded)
    if encoded.shift is not None:
        matrix = matrix + encoded.shift
    weights = matrix if encoded.vectors.along == "k" else matrix.T
    return np.ascontiguousarray(weights if encoded.permutation is None else weights[:, encoded.permutation])


def write(encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """Convert, Gather, [Add,] Reshape, Multiply, [Reshape,] [Add,] [Gather,] [Transpose,] [Convert].

    Raises:
        ValueError: for weights in another format.
    """
    return write_together([encoded], [form])[0]


def write_together(encoded: Sequence[EncodedWeights], forms: Sequence[ChainForm]) -> list[ov.Output]:
    """`write` for each; codebooks that are one object become one Constant.

    Raises:
        ValueError: as `write`.
    """
    if other := [each.encoding.format for each in encoded if not isinstance(each, VectorWeights)]:
        raise ValueError(f"{other[0]} is not {NAME}")
    own = [each for each in encoded if isinstance(each, VectorWeights)]
    return vector_writing.write_vectors(own, forms)


def as_matrix(weights: Array, encoding: VectorEncoding) -> Array:
    """Weights [N, K] as the matrix whose rows hold the vectors.

    Raises:
        ValueError: for what is no matrix, and where vectors, groups or ranges do not divide the columns.
    """
    if weights.ndim != 2:
        raise ValueError(f"weights of rank {weights.ndim}; only a matrix is stored in vectors")
    matrix: Array = weights if encoding.along == "k" else np.ascontiguousarray(weights.T)
    columns, unit = matrix.shape[1], encoding.vector_length * encoding.ranges
    if columns % unit:
        axis = encoding.along.upper()
        raise ValueError(
            f"{encoding.ranges} range(s) of vectors of {encoding.vector_length} do not divide {axis}={columns}"
        )
    if (encoding.group_size or columns) % encoding.vector_length:
        raise ValueError(f"vectors of {encoding.vector_length} do not divide groups of {encoding.group_size}")
    return matrix


def in_ranges(matrix: Array, encoding: VectorEncoding) -> Array:
    """A matrix [rows, columns] as vectors [ranges, rows * vectors of a row and range, vector length]."""
    cut = matrix.reshape(len(matrix), encoding.ranges, -1, encoding.vector_length)
    return np.ascontiguousarray(cut.swapaxes(0, 1)).reshape(encoding.ranges, -1, encoding.vector_length)


def from_ranges(codes: Array, rows: int) -> Array:
    """Codes [ranges, rows * vectors of a row and range] as u16 [rows, vectors of a row]."""
    return np.asarray(codes.reshape(len(codes), rows, -1).swapaxes(0, 1).reshape(rows, -1), np.uint16)


def vectors_of(codes: Array, codebooks: tuple[Array, ...]) -> Array:
    """The sums of entries, f32 [rows, vectors of a row, vector length], added up in the order of the codebooks."""
    ranges = len(codebooks[0])
    column = np.arange(codes.shape[2]) // (codes.shape[2] // ranges)
    found = codebooks[0][column, codes[0]]
    for book, code in zip(codebooks[1:], codes[1:], strict=True):
        found = found + book[column, code]
    return np.asarray(found, np.float32)


VECTOR = Format(recognize, encode, decode, write, write_together=write_together)
