"""The time to expect of a kernel at one token, by the time of weights that OpenVINO decompresses when it compiles.

The constants are those of two threads of an AMD EPYC with AVX-512, when memory was slower than in docs/kernels.md:
ratios come out as 0.20 and 0.17 where that page has 0.22 and 0.24. They are a rule for which MatMuls are too small, and
no prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovpass.kernels.shape import KernelShape

_HALF = 2


@dataclass(frozen=True)
class Costs:
    """Microseconds: of each op, of a table entry that is built, and of a code and a byte of weights that is read."""

    op: float
    entry: float
    code: float
    matmul: float
    weight_byte: float

    def kernel(self, shape: KernelShape) -> float:
        """Of a kernel, in microseconds."""
        return self.op + shape.tables * (self.entry * shape.entries + self.code * shape.n)

    def decompressed(self, shape: KernelShape) -> float:
        """Of the same weights in bf16, in microseconds."""
        return self.matmul + self.weight_byte * _HALF * shape.k * shape.n

    def ratio(self, shape: KernelShape) -> float:
        """The kernel's time by that of weights in bf16."""
        return self.kernel(shape) / self.decompressed(shape)


_CPU = Costs(op=7, entry=1.5e-5, code=3.3e-5, matmul=3, weight_byte=2.6e-5)


def costs_of(device: str) -> Costs | None:
    """The costs on a device; None where nothing was measured."""
    return _CPU if device == "CPU" else None
