#!/usr/bin/env python3
"""Make the ONNX files under models/onnx: a tiny BERT-like encoder, quantized in ONNX Runtime's ways.

Weights are random. Needs onnx and onnxruntime, no network. The same versions (these: ONNX 1.23.2, ONNX Runtime 1.32.0)
give the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

ROOT = Path(__file__).resolve().parent.parent
HIDDEN, HEADS, FFN, BLOCKS, VOCAB, POSITIONS = 64, 2, 128, 2, 64, 32
INPUTS = ("input_ids", "attention_mask")
BLOCK = 32
_IR_VERSION, _OPSET = 10, 21


def float_encoder(path: Path) -> None:
    """input_ids, attention_mask [b, t] i64 -> last_hidden_state [b, t, HIDDEN] in f32; at most POSITIONS tokens."""
    onnx.save(_Encoder().model(), path)


class _Encoder:
    """Collects nodes and tensors; every method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.rng = np.random.default_rng(0)

    def model(self) -> onnx.ModelProto:
        bias = self._mask_bias()
        x = self._embeddings()
        for block in range(BLOCKS):
            x = self._block(x, bias, f"layer.{block}")
        self._op("Identity", [x], "last_hidden_state")
        ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in INPUTS]
        shape: list[str | int | None] = ["batch", "tokens", HIDDEN]
        out = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "encoder", ids, [out], list(self.tensors.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)

    def _mask_bias(self) -> str:
        mask = self._op("Unsqueeze", [INPUTS[1], self._integers("mask_axes", [1, 2])], "mask")
        mask = self._op("Cast", [mask], "mask_f32", to=TensorProto.FLOAT)
        padding = self._op("Sub", [self._stored("one", np.ones(1)), mask], "padding")
        return self._op("Mul", [padding, self._stored("lowest", np.full(1, -1e4))], "mask_bias")

    def _embeddings(self) -> str:
        words = self._op("Gather", [self._random("words", VOCAB, HIDDEN), INPUTS[0]], "embedded")
        shape = self._op("Shape", [INPUTS[0]], "ids_shape", start=1)
        zero = self._integers("zero", [0])
        places = self._op("Slice", [self._random("positions", POSITIONS, HIDDEN), zero, shape, zero], "places")
        return self._norm(self._op("Add", [words, places], "embeddings"), "embeddings.norm")

    def _block(self, x: str, bias: str, name: str) -> str:
        q, k, v = (self._split(self._linear(x, HIDDEN, HIDDEN, f"{name}.{part}"), f"{name}.{part}") for part in "qkv")
        k = self._op("Transpose", [k], f"{name}.k.t", perm=[0, 1, 3, 2])
        scores = self._op("MatMul", [q, k], f"{name}.scores")
        size = self._stored("size", np.full(1, (HIDDEN // HEADS) ** -0.5))
        scores = self._op("Mul", [scores, size], f"{name}.scaled")
        attention = self._op("Softmax", [self._op("Add", [scores, bias], f"{name}.masked")], f"{name}.softmax", axis=-1)
        mixed = self._op("MatMul", [attention, v], f"{name}.mixed")
        mixed = self._op("Transpose", [mixed], f"{name}.together", perm=[0, 2, 1, 3])
        mixed = self._op("Reshape", [mixed, self._integers("flat", [0, 0, HIDDEN])], f"{name}.flat")
        out = self._linear(mixed, HIDDEN, HIDDEN, f"{name}.out")
        x = self._norm(self._op("Add", [out, x], f"{name}.attended"), f"{name}.norm1")
        wide = self._gelu(self._linear(x, HIDDEN, FFN, f"{name}.up"), f"{name}.gelu")
        down = self._linear(wide, FFN, HIDDEN, f"{name}.down")
        return self._norm(self._op("Add", [down, x], f"{name}.fed"), f"{name}.norm2")

    def _split(self, x: str, name: str) -> str:
        shape = self._integers("heads", [0, 0, HEADS, HIDDEN // HEADS])
        return self._op("Transpose", [self._op("Reshape", [x, shape], f"{name}.r")], f"{name}.h", perm=[0, 2, 1, 3])

    def _linear(self, x: str, k: int, n: int, name: str) -> str:
        product = self._op("MatMul", [x, self._random(f"{name}.weight", k, n)], f"{name}.product")
        return self._op("Add", [product, self._random(f"{name}.bias", n)], f"{name}.biased")

    def _gelu(self, x: str, name: str) -> str:
        half, one = self._stored("half", np.full(1, 0.5)), self._stored("one", np.ones(1))
        erf = self._op("Erf", [self._op("Mul", [x, self._stored("rsqrt2", np.full(1, 0.5**0.5))], f"{name}.x")], name)
        gate = self._op("Mul", [self._op("Add", [erf, one], f"{name}.shifted"), half], f"{name}.gate")
        return self._op("Mul", [x, gate], f"{name}.y")

    def _norm(self, x: str, name: str) -> str:
        scale = self._stored(f"{name}.scale", self.rng.uniform(0.5, 1.5, HIDDEN))
        bias = self._random(f"{name}.bias", HIDDEN)
        return self._op("LayerNormalization", [x, scale, bias], f"{name}.y", axis=-1, epsilon=1e-12)

    def _random(self, name: str, *shape: int) -> str:
        return self._stored(name, self.rng.normal(0.0, shape[0] ** -0.5, shape))

    def _integers(self, name: str, values: list[int]) -> str:
        self.tensors[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def _stored(self, name: str, values: np.ndarray) -> str:
        self.tensors[name] = numpy_helper.from_array(values.astype(np.float32), name)
        return name

    def _op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


def dynamic(source: Path, path: Path, kind: QuantType, per_channel: bool = False) -> None:
    """DynamicQuantizeLinear and MatMulInteger, by ONNX Runtime's `quantize_dynamic`."""
    options = {"op_types_to_quantize": ["MatMul"], "per_channel": per_channel}
    quantize_dynamic(source, path, weight_type=kind, **options)


def fused(source: Path, path: Path) -> None:
    """`dynamic`, and then what ONNX Runtime itself runs: DynamicQuantizeMatMul and MatMulIntegerToFloat."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        dynamic(source, plain, QuantType.QInt8, per_channel=True)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        ort.InferenceSession(plain, options, providers=["CPUExecutionProvider"])


def weight_only(source: Path, path: Path, bits: int, accuracy_level: int) -> None:
    """MatMulNBits in blocks of 32, symmetric."""
    model = onnx.load(source)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        weights = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is None:
            continue
        values = numpy_helper.to_array(weights)
        tensors = _blocks(values, bits, weights.name)
        model.graph.initializer.remove(weights)
        model.graph.initializer.extend(tensors)
        node.op_type, node.domain = "MatMulNBits", "com.microsoft"
        node.input[:] = [node.input[0], *(tensor.name for tensor in tensors)]
        k, n = values.shape
        attributes = {"K": k, "N": n, "bits": bits, "block_size": BLOCK, "accuracy_level": accuracy_level}
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)


def _blocks(weights: np.ndarray, bits: int, name: str) -> list[onnx.TensorProto]:
    """Codes [N, K / BLOCK, bytes] with an implied zero point of half the range, and scales [N * K / BLOCK]."""
    k, n = weights.shape
    blocks = weights.T.reshape(n, k // BLOCK, BLOCK)
    half = 2 ** (bits - 1)
    scales = np.abs(blocks).max(-1, keepdims=True) / (half - 1)
    codes = (np.rint(blocks / scales) + half).astype(np.uint8)
    packed = codes if bits == 8 else codes[..., 0::2] | (codes[..., 1::2] << 4)
    return [numpy_helper.from_array(packed, f"{name}_q"), numpy_helper.from_array(scales.ravel(), f"{name}_scales")]


def in_blocks(source: Path, path: Path) -> None:
    """DequantizeLinear before each MatMul: int4, a scale for every BLOCK of K."""
    model = onnx.load(source)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        weights = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is not None:
            values = numpy_helper.to_array(weights)
            k, n = values.shape
            blocks = values.reshape(k // BLOCK, BLOCK, n)
            scales = np.abs(blocks).max(1) / 7
            codes = np.rint(blocks / scales[:, None]).astype(np.int8)
            name = weights.name
            model.graph.initializer.remove(weights)
            model.graph.initializer.append(helper.make_tensor(f"{name}_q", TensorProto.INT4, (k, n), codes.ravel()))
            model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
            inputs, named = [f"{name}_q", f"{name}_scale"], f"{name}_dequantize"
            nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=named, axis=0, block_size=BLOCK))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


RECIPES: dict[str, Callable[[Path, Path], None]] = {
    "dynamic_qint8": lambda source, path: dynamic(source, path, QuantType.QInt8),
    "dynamic_qint8_channel": lambda source, path: dynamic(source, path, QuantType.QInt8, per_channel=True),
    "dynamic_quint8": lambda source, path: dynamic(source, path, QuantType.QUInt8),
    "dynamic_fused": fused,
    "matmulnbits_u4_level4": lambda source, path: weight_only(source, path, 4, 4),
    "qdq_i4": in_blocks,
}


def main() -> None:
    """Make all of them in a temporary folder, then put them in place of the old ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "models/onnx", help="folder to write (models/onnx)")
    output: Path = parser.parse_args().output
    logging.disable(logging.WARNING)  # ONNX Runtime advises to optimize the model first
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "float.onnx"
        float_encoder(source)
        for name, make in RECIPES.items():
            make(source, Path(scratch) / f"{name}.onnx")
        output.mkdir(parents=True, exist_ok=True)
        for name in RECIPES:
            path = Path(shutil.copy(Path(scratch) / f"{name}.onnx", output))
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    main()
