"""The time to expect of a kernel at one token, by the time of weights that OpenVINO decompresses when it compiles.

`scripts/calibrate_kernels.py` fits the constants: these are of two threads of an AMD EPYC with AVX-512, MatMuls of 576
to 4096 columns and rows in 1.5 to 4 bits. The ratio by them is 4 % off in the median, 13 % at most. How fast weights in
bf16 come from memory varies more: where it is 63 GB/s instead of 41, as in docs/kernels.md at 4096, a ratio is a third
higher. They are a rule for which MatMuls are too small, and no prediction.
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


_CPU = Costs(op=6.7, entry=2.7e-5, code=2.3e-5, matmul=4.3, weight_byte=2.4e-5)


def costs_of(device: str) -> Costs | None:
    """The costs on a device; None where nothing was measured."""
    return _CPU if device == "CPU" else None
