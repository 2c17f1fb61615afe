"""The committed ONNX files, the float model that they were quantized from, and running any of them."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov

from ovpass.convert.onnx_file import convert_onnx
from ovpass.evaluation.reference import Array

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "models" / "onnx"
DYNAMIC = ("dynamic_qint8", "dynamic_qint8_channel", "dynamic_quint8")
FUSED, LEVEL4, QDQ = "dynamic_fused", "matmulnbits_u4_level4", "qdq_i4"
KINDS = {"attn.q": 2, "attn.k": 2, "attn.v": 2, "attn.out": 2, "mlp.up": 2, "mlp.down": 2}
"""How many sites of each kind every file has."""

RECIPE: Mapping[str, Any] = runpy.run_path(str(ROOT / "scripts" / "make_onnx_models.py"))
Convert = Callable[[str], Path]


def path_of(name: str) -> Path:
    return FILES / f"{name}.onnx"


def converted(source: Path, folder: Path) -> Path:
    """The IR that ovpass makes of a file."""
    folder.mkdir(parents=True)
    convert_onnx(source, folder, lambda _: None)
    return folder / "openvino_model.xml"


def feeds() -> dict[str, Array]:
    """Two sentences, of which one is padded."""
    ids = np.random.default_rng(1).integers(0, 64, (2, 12))
    mask = np.ones_like(ids)
    mask[1, 9:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def by_onnx_runtime(source: Path | bytes) -> list[Array]:
    content = source.read_bytes() if isinstance(source, Path) else source
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return [np.array(value) for value in session.run(None, feeds())]


def in_both_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """An If on a new input `condition`, with the graph of `model` as either branch; its input is `x`."""
    branches = []
    for tag in ("then", "else"):
        branches.append(onnx.GraphProto())
        branches[-1].CopyFrom(model.graph)
        del branches[-1].input[:]
        for part in [*branches[-1].node, *branches[-1].initializer, *branches[-1].output]:
            part.name = f"{tag}_{part.name}"
        for node in branches[-1].node:
            node.input[:] = [name if name == "x" else f"{tag}_{name}" for name in node.input]
            node.output[:] = [f"{tag}_{name}" for name in node.output]
    chosen = onnx.helper.make_node("If", ["condition"], ["y"], then_branch=branches[0], else_branch=branches[1])
    condition = onnx.helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, [])
    graph = onnx.helper.make_graph([chosen], "branches", [condition, *model.graph.input], [*model.graph.output])
    return onnx.helper.make_model(graph, opset_imports=[*model.opset_import], ir_version=model.ir_version)


def read(source: Path | str) -> ov.Model:
    return ov.Core().read_model(source)


def product_of_integers(activation: str) -> onnx.ModelProto:
    """A MatMulInteger `product` of `x` [tokens, 8], which is quantized as `activation` says: "dynamic" or "static"."""
    helper, kinds = onnx.helper, onnx.TensorProto
    stored = {
        "w": np.arange(-16, 16, dtype=np.int8).reshape(8, 4),
        "w_scale": np.float32(0.1),
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(128),
    }
    quantize = {
        "dynamic": helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        "static": helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["q"]),
    }[activation]
    zero, scale = ("zero", "scale") if activation == "dynamic" else ("x_zero", "x_scale")
    nodes = [
        quantize,
        helper.make_node("MatMulInteger", ["q", "w", zero], ["product"], name="product"),
        helper.make_node("Cast", ["product"], ["cast"], to=kinds.FLOAT),
        helper.make_node("Mul", [scale, "w_scale"], ["scales"]),
        helper.make_node("Mul", ["cast", "scales"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, kinds.FLOAT, ["tokens", size]) for n, size in (("x", 8), ("y", 4)))
    tensors = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "product", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
