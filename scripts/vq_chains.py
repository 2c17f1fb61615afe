"""Chains of square MatMuls with weights as the kernels read them, and beside them; random, others in each layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.base import ChainForm
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights
from ovpass.formats.vector_writing import write_vectors
from ovpass.kernels import library
from ovpass.passes.vector_kernel import VectorKernel


def chain(k: int, layers: int, weights: Callable[[int], ov.Output]) -> ov.Model:
    """MatMuls of K columns and rows, one after the other."""
    data = op.parameter([-1, -1, k], np.float32, name="x")
    last = data.output(0)
    for layer in range(layers):
        last = op.matmul(last, weights(layer), transpose_a=False, transpose_b=True).output(0)
    return ov.Model([op.result(last)], [data], "chain")


def vector_chain(k: int, layers: int, encoding: VectorEncoding) -> ov.Model:
    """The same by kernels for vector-quantized weights."""
    model = chain(k, layers, lambda layer: _vectors(k, layer, encoding))
    names = tuple(node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "MatMul")
    VectorKernel(names).run(model)
    return model


def half(k: int, layer: int) -> ov.Output:
    """Weights in f16, which a CPU with BF16 computes in bf16."""
    values = np.random.default_rng(layer).standard_normal((k, k)) * k**-0.5
    return op.convert(op.constant(values.astype(np.float16)), "f32").output(0)


def int8(k: int, layer: int) -> ov.Output:
    """A scale a row."""
    codes = np.random.default_rng(layer).integers(-127, 128, (k, k)).astype(np.int8)
    return op.multiply(op.convert(op.constant(codes), "f32"), op.constant(np.full((k, 1), 1e-4, np.float32))).output(0)


def int4(k: int, layer: int) -> ov.Output:
    """A scale for 128 columns, and a zero point for all."""
    tensor = ov.Tensor(ov.Type.u4, ov.Shape([k, k // 128, 128]))
    np.asarray(tensor.data).reshape(-1).view(np.uint8)[:] = np.random.default_rng(layer).integers(0, 256, k * k // 2)
    shifted = op.subtract(
        op.convert(op.constant(tensor), "f32"), op.convert(op.constant(np.array([[[8]]], np.uint8)), "f32")
    )
    scaled = op.multiply(shifted, op.constant(np.full((k, k // 128, 1), 2e-3, np.float32)))
    return op.reshape(scaled, op.constant(np.array([k, k], np.int64)), False).output(0)


def saved(model: ov.Model, path: Path) -> Path:
    """The model as an IR."""
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def new_core() -> ov.Core:
    """A Core that runs the kernels."""
    core = ov.Core()
    core.add_extension(str(library()))
    return core


def activation(tokens: int, k: int) -> np.ndarray:
    """Random, f32 [1, tokens, K]."""
    return np.random.default_rng(0).standard_normal((1, tokens, k)).astype(np.float32)


def _vectors(k: int, layer: int, encoding: VectorEncoding) -> ov.Output:
    random, d = np.random.default_rng(layer), encoding.vector_length
    codes = np.stack([random.integers(0, entries, (k, k // d)) for entries in encoding.entries]).astype(np.uint16)
    books = tuple(
        random.standard_normal((1, entries, d)).astype(np.float16).astype(np.float32) for entries in encoding.entries
    )
    weights = VectorWeights(encoding, codes, np.full((k, 1), k**-0.5, np.float32), codebooks=books)
    return write_vectors([weights], [ChainForm(f"w{layer}", f"w{layer}/")])[0]
