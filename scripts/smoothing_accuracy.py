"""What smoothing buys: KL of int8 products per token when outlier channels are moved into the weights beforehand.

Usage: python scripts/smoothing_accuracy.py FLOAT_MODEL [--windows 2] [--window-tokens 256]

SmoothQuant (Xiao et al. 2023): channel j of an activation is divided by s_j = max|x_j|^a / max|w_j|^(1 - a) and the
weights that meet it are multiplied by it; a = 0 leaves all as it is. Weights are then rounded to 8 bits per channel
and activations per token. All layers are smoothed, by a division where need be; where an activation is shared, its
layers share s. `ovpass compress --smooth` does of this what needs no operation of its own.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.options import WindowOptions
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.summary import summarize
from ovpass.evaluation.tokenizer import load_tokenizer
from ovpass.evaluation.windows import Window, make_windows
from ovpass.passes.quantizers import Quantizer

Array = npt.NDArray[Any]
Layers = dict[tuple[str, int], list[ov.Node]]

STRENGTHS = (0.0, 0.25, 0.5, 0.75)
FORMS = (("symmetric", True), ("asymmetric", False))


def main() -> None:
    """Measure every strength, symmetric and asymmetric activations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--window-tokens", type=int, default=256)
    arguments = parser.parse_args()
    xml, options = arguments.model / "openvino_model.xml", WindowOptions(arguments.windows, arguments.window_tokens)
    windows = make_windows(read_text(), load_tokenizer(arguments.model), options)
    others = WindowOptions(1, arguments.window_tokens, None, arguments.windows)
    calibration = make_windows(read_text(), load_tokenizer(arguments.model), others)[0]
    exact = [logits.copy() for logits in predictions(ov.Core().read_model(xml), windows)]
    largest = channel_maxima(xml, calibration)
    print("activations   strength   KL mean   median   trimmed   top-1 %")
    for name, symmetric in FORMS:
        for strength in STRENGTHS:
            model = smoothed(xml, largest, strength, symmetric=symmetric)
            scores = [compare_logits(*pair) for pair in zip(exact, predictions(model, windows), windows, strict=True)]
            found = summarize(scores)
            kl = found.kl
            values = f"{kl.mean.value:9.2g} {kl.median.value:8.2g} {kl.trimmed:9.2g} {found.top1.value:9.1f}"
            print(f"{name:<13} {strength:>8} {values}", flush=True)


def predictions(model: ov.Model, windows: list[Window]) -> list[Array]:
    """Logits of every window."""
    runner = Runner(Prepared(model, CLEAN, None, ""), "model")
    return [np.array(runner.logits(window)) for window in windows]


def layers(model: ov.Model) -> Layers:
    """MatMuls of an activation by constant weights [N, K], by the activation that they read."""
    found: Layers = defaultdict(list)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and weights_of(node) is not None:
            source = node.input_value(0)
            found[source.get_node().get_friendly_name(), source.get_index()].append(node)
    return found


def weights_of(matmul: ov.Node) -> Array | None:
    """Weights [N, K] in f32, None where the MatMul has none of that form."""
    node = matmul.input_value(1).get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or node.get_output_partial_shape(0).rank.get_length() != 2:
        return None
    return np.array(node.data, np.float32) if matmul.get_attributes()["transpose_b"] else None


def channel_maxima(xml: Path, window: Window) -> dict[tuple[str, int], Array]:
    """The largest magnitude of each channel [K], by activation."""
    model = ov.Core().read_model(xml)
    before, found = len(model.outputs), layers(model)
    axes = op.constant(np.array([0, 1], np.int64))
    model.add_results([op.result(op.reduce_max(op.abs(group[0].input_value(0)), axes)) for group in found.values()])
    values = Runner(Prepared(model, CLEAN, None, ""), "model").outputs(window)[before:]
    return {key: np.array(value) for key, value in zip(found, values, strict=True)}


def smoothed(xml: Path, largest: dict[tuple[str, int], Array], strength: float, *, symmetric: bool) -> ov.Model:
    """The model with smoothed, rounded weights and activations."""
    model = ov.Core().read_model(xml)
    for key, group in layers(model).items():
        weights = [weights_of(matmul) for matmul in group]
        own = np.max([np.abs(w).max(0) for w in weights if w is not None], axis=0)
        s = np.maximum(largest[key], 1e-5) ** strength / np.maximum(own, 1e-5) ** (1 - strength) if strength else own**0
        x = op.divide(group[0].input_value(0), op.constant(s.astype(np.float32)))
        quantizer = Quantizer(-1, lambda node, _: node)
        rounded = quantizer.dequantized(quantizer.build(x, symmetric=symmetric, half=False))
        for matmul, w in zip(group, weights, strict=True):
            matmul.input(0).replace_source_output(rounded.output(0))
            matmul.input(1).replace_source_output(op.constant(per_channel(w * s)).output(0))
    return model


def per_channel(weights: Array) -> Array:
    """What 8 bits, symmetric, with one scale for each output channel, leave of the weights."""
    scale = np.maximum(np.abs(weights).max(1, keepdims=True), 1e-30) / 127
    return np.asarray(np.rint(weights / scale) * scale, np.float32)


if __name__ == "__main__":
    main()
