"""Models with vector-quantized weights, small ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.base import ChainForm
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights
from ovpass.formats.vector_writing import write_vectors

Array = npt.NDArray[Any]


def random_weights(
    encoding: VectorEncoding, n: int, k: int, seed: int = 0, codebooks: tuple[Array, ...] | None = None
) -> VectorWeights:
    """Random codes, scales and, where none are given, codebooks."""
    random = np.random.default_rng((seed, n, k))

    def halves(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float16).astype(np.float32)

    vectors = k // encoding.vector_length
    codes = np.stack([random.integers(0, count, (n, vectors)) for count in encoding.entries]).astype(np.uint16)
    books = codebooks or tuple(halves(1, count, encoding.vector_length) for count in encoding.entries)
    scale = (np.abs(halves(n, 1)) * np.float16(0.05) + np.float16(0.01)).astype(np.float16).astype(np.float32)
    return VectorWeights(encoding, codes, scale, codebooks=books)


def vector_model(encoding: VectorEncoding, k: int = 96, widths: Sequence[int] = (80, 40, 40), n: int = 72) -> ov.Model:
    """MatMuls of some widths that share activation and codebooks, and one more of their concatenated outputs."""
    data = op.parameter([-1, -1, k], np.float32, name="x")
    first = random_weights(encoding, widths[0], k)
    weights = [random_weights(encoding, width, k, number, first.codebooks) for number, width in enumerate(widths)]
    names = [f"m{number}" for number in range(len(widths))]
    chains = write_vectors(weights, [ChainForm(f"{name}.weight", f"{name}/") for name in names])
    outputs = [_product(data.output(0), chain, name) for chain, name in zip(chains, names, strict=True)]
    joined = op.concat(outputs, -1)
    [last] = write_vectors([random_weights(encoding, n, sum(widths), 9)], [ChainForm("out.weight", "out/")])
    out = _product(joined.output(0), last, "out")
    out.output(0).set_names({"y"})
    return ov.Model([op.result(out), op.result(outputs[0])], [data], "vectors")


def saved(model: ov.Model, folder: Path) -> Path:
    """The model as an IR."""
    path = folder / "model.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def _product(data: ov.Output, chain: ov.Output, name: str) -> ov.Node:
    node = op.matmul(data, chain, transpose_a=False, transpose_b=True)
    node.set_friendly_name(name)
    return node
