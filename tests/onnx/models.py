"""The committed ONNX files, the float model that they were quantized from, and running any of them."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov

from ovpass.conversion.onnx_file import convert_onnx
from ovpass.targets.reference_arithmetic import Array

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


def converted(source: Path | onnx.ModelProto, folder: Path) -> Path:
    """The IR that ovpass makes of a file, or of a model that lies in `folder` then."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(source, onnx.ModelProto):
        onnx.save(source, folder / "model.onnx")
        source = folder / "model.onnx"
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
            node.input[:] = [name if name in ("x", "") else f"{tag}_{name}" for name in node.input]
            node.output[:] = [f"{tag}_{name}" for name in node.output]
    chosen = onnx.helper.make_node("If", ["condition"], ["y"], then_branch=branches[0], else_branch=branches[1])
    condition = onnx.helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, [])
    graph = onnx.helper.make_graph([chosen], "branches", [condition, *model.graph.input], [*model.graph.output])
    return onnx.helper.make_model(graph, opset_imports=[*model.opset_import], ir_version=model.ir_version)


def read(source: Path | str) -> ov.Model:
    return ov.Core().read_model(source)


def product_of_integers(activation: str, *, order: str = "together") -> onnx.ModelProto:
    """A MatMulInteger `product` of `x` [tokens, 8], which is quantized as `activation` says.

    "dynamic"; "static"; "no zero point" and "other zero point" are "dynamic" but for what the product subtracts.
    The scales are multiplied "together", or onto the product with the one of the "activation first" or "weights first".
    """
    node = onnx.helper.make_node
    quantize = [node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])]
    if activation == "static":
        quantize = [node("QuantizeLinear", ["x", "scale", "zero"], ["q"])]
    if activation == "other zero point":
        quantize += [node("Neg", ["x"], ["x2"]), node("DynamicQuantizeLinear", ["x2"], ["q2", "scale2", "zero2"])]
    zero = {"no zero point": [], "other zero point": ["zero2"]}.get(activation, ["zero"])
    scales = {
        "together": [node("Mul", ["scale", "w_scale"], ["both"]), node("Mul", ["cast", "both"], ["y"])],
        "activation first": [node("Mul", ["cast", "scale"], ["once"]), node("Mul", ["once", "w_scale"], ["y"])],
        "weights first": [node("Mul", ["w_scale", "cast"], ["once"]), node("Mul", ["scale", "once"], ["y"])],
    }[order]
    nodes = [
        *quantize,
        node("MatMulInteger", ["q", "w", *zero], ["product"], name="product"),
        node("Cast", ["product"], ["cast"], to=onnx.TensorProto.FLOAT),
        *scales,
    ]
    static = {"scale": np.float32(0.02), "zero": np.uint8(128)} if activation == "static" else {}
    return _of_x(nodes, {"w": _CODES, "w_scale": np.float32(0.1), **static})


def product_of_floats(factor: float = 1) -> onnx.ModelProto:
    """A MatMulIntegerToFloat `product` of `x` [tokens, 8]; the scale of its activation is multiplied by `factor`."""
    node = onnx.helper.make_node
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("Mul", ["scale", "factor"], ["scaled"]),
        node(
            "MatMulIntegerToFloat",
            ["q", "w", "scale" if factor == 1 else "scaled", "w_scale", "zero"],
            ["y"],
            name="product",
            domain="com.microsoft",
        ),
    ]
    return _of_x(nodes, {"w": _CODES, "w_scale": np.float32(0.1), "factor": np.float32(factor)})


def product_of_blocks(order: Sequence[int] = (), *, bias: bool = False) -> onnx.ModelProto:
    """A MatMulNBits `product` of `x` [tokens, 64] by u4 weights in blocks of 32, with accuracy level 4.

    `order` are the blocks of the elements of K, its g_idx, where it is given.
    """
    rng = np.random.default_rng(0)
    stored: dict[str, Any] = {
        "w": rng.integers(0, 256, (8, 2, 16)).astype(np.uint8),
        "scales": rng.uniform(0.01, 0.1, (8, 2)).astype(np.float32),
        "zeros": rng.integers(0, 256, (8, 1)).astype(np.uint8),
        "order": np.array(order, np.int32),
        "bias": rng.normal(size=8).astype(np.float32),
    }
    inputs = ["x", "w", "scales", "zeros", "order" if order else "", "bias" if bias else ""]
    sizes: dict[str, Any] = {"K": 64, "N": 8, "bits": 4, "block_size": 32}
    product = onnx.helper.make_node(
        "MatMulNBits", inputs, ["y"], name="product", domain="com.microsoft", accuracy_level=4, **sizes
    )
    return _of_x([product], stored, sizes=(64, 8))


def product_of_dequantized(op_type: str, *, transposed: bool = False) -> onnx.ModelProto:
    """A MatMul or Gemm `product` of `x` [tokens, 8] by DequantizeLinear of i8 weights, behind a Transpose if asked."""
    node = onnx.helper.make_node
    weights = "turned" if transposed else "weights"
    nodes = [
        node("DequantizeLinear", ["codes", "w_scale"], ["weights"]),
        *([node("Transpose", ["weights"], ["turned"])] if transposed else []),
        node(op_type, ["x", weights], ["product"], name="product"),
        node("Relu", ["product"], ["y"]),
    ]
    codes = np.ascontiguousarray(_CODES.T) if transposed else _CODES
    return _of_x(nodes, {"codes": codes, "w_scale": np.float32(0.1)})


def grouped_query_attention() -> onnx.ModelProto:
    """Attention with four heads of 16 on two of keys and values, as ONNX Runtime's models of LLMs have it."""
    helper, kinds = onnx.helper, onnx.TensorProto
    caches = ("past_key", "past_value")
    attention = helper.make_node(
        "GroupQueryAttention",
        ["q", "k", "v", *caches, "lengths", "total"],
        ["y", "key", "value"],
        domain="com.microsoft",
        num_heads=4,
        kv_num_heads=2,
    )
    info = helper.make_tensor_value_info
    inputs = [
        *(info(name, kinds.FLOAT, ["batch", "tokens", 64 if name == "q" else 32]) for name in "qkv"),
        *(info(name, kinds.FLOAT, ["batch", 2, "past", 16]) for name in caches),
        info("lengths", kinds.INT32, ["batch"]),
        info("total", kinds.INT32, []),
    ]
    outputs = [
        info("y", kinds.FLOAT, ["batch", "tokens", 64]),
        *(info(name, kinds.FLOAT, ["batch", 2, "all", 16]) for name in ("key", "value")),
    ]
    graph = helper.make_graph([attention], "attention", inputs, outputs)
    return helper.make_model(graph, opset_imports=_DOMAINS, ir_version=10)


_CODES = np.arange(-16, 16, dtype=np.int8).reshape(8, 4)


_DOMAINS = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]


def _of_x(
    nodes: Sequence[onnx.NodeProto], stored: Mapping[str, Any], sizes: tuple[int, int] = (8, 4)
) -> onnx.ModelProto:
    """A model from `x` [tokens, sizes[0]] to `y` [tokens, sizes[1]]."""
    helper = onnx.helper
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["tokens", size])
        for name, size in zip("xy", sizes, strict=True)
    )
    tensors = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "product", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=_DOMAINS, ir_version=10)
