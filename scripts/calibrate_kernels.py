"""Fit the constants by which ovpass chooses MatMuls for its kernels (`ovpass/kernels/costs.py`) to measured times.

    python scripts/calibrate_kernels.py

Chains of MatMuls in the CPU plugin at one token, vector-quantized and bf16 ones in turns, on a quiet machine. It prints
the constants for the best times, and how far the rule is from each measured ratio.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from int8_timing import in_turns, inference
from scipy.optimize import nnls
from vq_chains import activation, chain, half, new_core, saved, vector_chain

from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.kernels.costs import Costs
from ovpass.kernels.shape import KernelShape
from ovpass.support.cpu_features import cpu_name

SIZES = (576, 1024, 1536, 2048, 4096)
ENCODINGS = {
    "2 bits": VectorEncoding.of(4, [256]),
    "4 bits": VectorEncoding.of(4, [256, 256]),
    "1.5 bits": VectorEncoding.of(4, [64]),
}
BF16, ROUNDS = "bf16", 400
WEIGHTS, MOST_LAYERS = 1 << 28, 256
"""Weights of a chain: more than a cache holds of them in bf16."""


@dataclass(frozen=True)
class Cell:
    """Best microseconds of a MatMul by the kernel, and in bf16."""

    name: str
    shape: KernelShape
    kernel: float
    bf16: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="the most for each size")
    seconds = parser.parse_args().seconds
    print(f"OpenVINO {ov.get_version()}, {cpu_name()}")
    with tempfile.TemporaryDirectory() as folder:
        cells = [cell for k in SIZES for cell in _measured(k, seconds, Path(folder))]
    costs = _fit(cells)
    print(costs)
    for cell in cells:
        ratio, found = cell.kernel / cell.bf16, costs.ratio(cell.shape)
        print(
            f"  {cell.name} {cell.shape.k}: {cell.kernel:.1f} and bf16 {cell.bf16:.1f} us, "
            f"ratio {ratio:.2f}, by the rule {found:.2f} ({found / ratio - 1:+.0%})"
        )


def _measured(k: int, seconds: float, folder: Path) -> Iterator[Cell]:
    layers = min(MOST_LAYERS, WEIGHTS // k**2)
    models = {name: vector_chain(k, layers, encoding) for name, encoding in ENCODINGS.items()}
    models[BF16] = chain(k, layers, lambda layer: half(k, layer))
    calls = {
        name: inference(new_core().compile_model(saved(model, folder / f"{name} {k}.xml"), "CPU"), activation(1, k))
        for name, model in models.items()
    }
    best = {name: times.best / layers * 1e6 for name, times in in_turns(calls, ROUNDS, seconds).items()}
    for name, encoding in ENCODINGS.items():
        shape = KernelShape(k, k, encoding.vector_length, max(encoding.entries), len(encoding.entries))
        yield Cell(name, shape, best[name], best[BF16])


def _fit(cells: Sequence[Cell]) -> Costs:
    """Constants that are linear in the times, for the least squares of relative errors."""
    kernels = [(each.shape.tables, each.shape.entries, each.shape.n) for each in cells]
    op, entry, code = _solve([(1, t * entries, t * n) for t, entries, n in kernels], [each.kernel for each in cells])
    matmul, weight_byte = _solve(
        [(1, 2 * each.shape.k * each.shape.n) for each in cells], [each.bf16 for each in cells]
    )
    return Costs(op, entry, code, matmul, weight_byte)


def _solve(rows: Sequence[Sequence[float]], times: Sequence[float]) -> list[float]:
    relative = np.array(rows) / np.array(times)[:, None]
    scale = relative.max(axis=0)
    found, _ = nnls(relative / scale, np.ones(len(times)))
    return [float(f"{value:.2g}") for value in found / scale]


if __name__ == "__main__":
    main()
