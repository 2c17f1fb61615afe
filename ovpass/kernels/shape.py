"""The parameters of a kernel, and which vector-quantized weights have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovpass.formats.vector_encoding import VectorEncoding

if TYPE_CHECKING:
    import openvino as ov

ROWS, TABLES = 64, 32
"""Rows that share a look-up, and tables in a block: kRows and kTables in `cpu/weights.hpp`."""
VECTOR_LENGTHS = (2, 4, 8)
MOST_ENTRIES = 256
CODEBOOKS = (1, 2, 4)
"""Numbers of codebooks that divide a block's tables."""


@dataclass(frozen=True)
class KernelShape:
    """Weights [n, k] in vectors of `d` along K, the sum of one of `entries` vectors of each of `books` codebooks."""

    k: int
    n: int
    d: int
    entries: int
    books: int

    @property
    def tables(self) -> int:
        """Pairs of a group of d columns and a codebook."""
        return self.k // self.d * self.books

    @property
    def row_blocks(self) -> int:
        """Blocks of 64 rows."""
        return -(-self.n // ROWS)

    @property
    def code_bytes(self) -> int:
        """Bytes of packed codes."""
        return self.tables * self.row_blocks * ROWS


def shape_of(node: ov.Node) -> KernelShape:
    """The attributes of an op of ours."""
    return KernelShape(**{key: int(value) for key, value in node.get_attributes().items()})


def obstacle(encoding: VectorEncoding) -> str | None:
    """Why there is no kernel for such weights, or None."""
    if encoding.along != "k" or encoding.ranges != 1:
        return "the kernels read vectors along K with the same codebooks for all columns"
    if encoding.group_size is not None:
        return f"the kernels take a scale a row, not groups of {encoding.group_size}"
    if encoding.vector_length not in VECTOR_LENGTHS:
        return f"the kernels take vectors of {', '.join(map(str, VECTOR_LENGTHS))}, not {encoding.vector_length}"
    if max(encoding.entries) > MOST_ENTRIES:
        return f"tables do not pay for codebooks of {max(encoding.entries)} entries, only up to {MOST_ENTRIES}"
    if len(encoding.entries) not in CODEBOOKS:
        return f"the kernels take 1, 2 or 4 codebooks, not {len(encoding.entries)}"
    return None


def gpu_obstacle(shape: KernelShape) -> str | None:
    """Why there is no kernel of this shape for the GPU, or None."""
    return f"N={shape.n} is no multiple of {ROWS}, as the kernel for GPUs needs" if shape.n % ROWS else None
