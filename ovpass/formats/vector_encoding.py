"""What vector-quantized weights are: vectors of a matrix, each the sum of one entry of each codebook, times a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovpass.formats.base import EncodedWeights, Encoding

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

NAME = "vector"
VECTOR_LENGTHS = (2, 4, 8, 16)
FEWEST_ENTRIES, MOST_ENTRIES = 2, 65536
_BITS = {"u4": 4, "u6": 6, "u8": 8, "u16": 16}
_HALF = 16


def code_type(entries: int) -> str:
    """The narrowest element type that indexes so many entries: u4, u6, u8 or u16."""
    return next(kind for kind, bits in _BITS.items() if entries <= 2**bits)


@dataclass(frozen=True)
class VectorEncoding(Encoding):
    """A matrix [rows, columns] in vectors of `vector_length` neighbours of a row.

    The matrix is the weights [N, K], or [K, N] where `along` is "n". `entries` has the number of each codebook's: those
    after the first hold what the sum of those before leaves over. Columns are cut into `ranges` of equal length, each
    with codebooks of its own. `group_size` columns of a row share a scale, None: all. `element_type` is that of the
    first codebook's codes.
    """

    vector_length: int = 4
    entries: tuple[int, ...] = (256,)
    ranges: int = 1
    along: str = "k"

    @classmethod
    def of(cls, vector_length: int, entries: Sequence[int], **more: object) -> VectorEncoding:
        """The encoding with the element type that so many entries need.

        Raises:
            ValueError: for a length or a number of entries that there is not.
        """
        if vector_length not in VECTOR_LENGTHS:
            raise ValueError(f"vectors of {vector_length}; use {', '.join(map(str, VECTOR_LENGTHS))}")
        if not entries or not all(FEWEST_ENTRIES <= count <= MOST_ENTRIES for count in entries):
            raise ValueError(
                f"codebooks of {', '.join(map(str, entries))} entries; use {FEWEST_ENTRIES} to {MOST_ENTRIES}"
            )
        kind = code_type(entries[0])
        return cls(NAME, kind, vector_length=vector_length, entries=tuple(entries), **more)  # type: ignore[arg-type]

    @property
    def code_types(self) -> tuple[str, ...]:
        """The element type of each codebook's codes."""
        return tuple(code_type(count) for count in self.entries)

    @property
    def code_bits(self) -> float:
        """Bits of codes a weight, as they are stored."""
        return sum(_BITS[kind] for kind in self.code_types) / self.vector_length

    def scale_bits(self, columns: int) -> float:
        """Bits of scales a weight, in f16."""
        return _HALF / (self.group_size or columns)

    @property
    def codebook_bits(self) -> int:
        """Bits of all codebooks, in f16."""
        return _HALF * self.ranges * self.vector_length * sum(self.entries)

    @property
    def in_words(self) -> str:
        """As `d=4 2x256`."""
        same = len(set(self.entries)) == 1
        books = f"{len(self.entries)}x{self.entries[0]}" if same else "+".join(map(str, self.entries))
        return f"d={self.vector_length} {books}"


@dataclass(frozen=True)
class VectorWeights(EncodedWeights):
    """A matrix in vectors: (sum of codebook entries) * scale + shift, its columns or rows permuted.

    `codes` is u16 [codebooks, rows, columns / vector length]. `scale` is f32 [rows, columns / group size].
    `codebooks` are f32 [ranges, entries, vector length] each. `shift` is f32 [rows, 1], None without one.
    `permutation` is i32 [K]: row or column i of the weights along K is number permutation[i] of the matrix. All floats
    are such as f16 holds.
    """

    codebooks: tuple[Array, ...] = ()
    shift: Array | None = None
    permutation: Array | None = None

    @property
    def vectors(self) -> VectorEncoding:
        """The encoding.

        Raises:
            ValueError: where it is that of another format.
        """
        if not isinstance(self.encoding, VectorEncoding):
            raise ValueError(f"{self.encoding.format} is not {NAME}")
        return self.encoding

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        _, rows, vectors = self.codes.shape
        return int(rows), int(vectors) * self.vectors.vector_length

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the weights, [N, K]."""
        return self.matrix_shape if self.vectors.along == "k" else self.matrix_shape[::-1]

    @property
    def own_bits(self) -> float:
        """Bits of codes, scales, shift and permutation, for all weights; codebooks may be shared and are left out."""
        rows, columns = self.matrix_shape
        further = 0 if self.shift is None else _HALF * rows
        further += 0 if self.permutation is None else 2 * _HALF * len(self.permutation)
        return rows * columns * (self.vectors.code_bits + self.vectors.scale_bits(columns)) + further


def stored_bits(matrices: Sequence[VectorWeights]) -> float:
    """Bits of all of them; codebooks that are one object count once."""
    books = {id(book): book.size * _HALF for each in matrices for book in each.codebooks}
    return sum(books.values()) + sum(each.own_bits for each in matrices)
