"""Outliers moved from activations into weights: the same function, easier to quantize."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import Node
from openvino import opset13 as op

from ovpass.compression.compress import compress_source
from ovpass.compression.recipe import Recipe
from ovpass.compression.smoothquant import smooth
from ovpass.targets.reference_arithmetic import dequantized
from tests.builders import llama_model
from tests.compression.conftest import float_llama
from tests.compression.test_compress import FEW, weight_types
from tests.passes.helpers import outputs

K, N = 64, 32
LOUD = 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 40, K)).astype(np.float32)
GAIN = np.where(np.arange(K) == LOUD, 200, 1).astype(np.float32)


def constant(*shape: int, seed: int = 0) -> Node:
    return op.constant(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def linear(x: Node, name: str, n: int = N, k: int = K, *, transposed: bool = True, weights: Node | None = None) -> Node:
    node = op.matmul(x, weights or constant(*((n, k) if transposed else (k, n)), seed=len(name)), False, transposed)
    node.set_friendly_name(name)
    return node


def model_of(build: Callable[[Node], Node]) -> ov.Model:
    x = op.parameter(ov.PartialShape([-1, -1, K]), np.float32, name="x")
    x.output(0).set_names({"x"})
    return ov.Model([op.result(build(x))], [x])


def gain(x: Node) -> Node:
    """Multiplied last, as a norm does it; one channel is loud."""
    return op.multiply(op.tanh(x), op.constant(GAIN.reshape(1, 1, K)))


def layer_norm(x: Node) -> Node:
    return op.add(op.multiply(op.constant(GAIN), op.tanh(x)), constant(K))


def halves(x: Node) -> Node:
    """The gain stored in f16."""
    return op.multiply(op.convert(op.constant(GAIN.astype(np.float16)), "f32"), op.tanh(x))


def out_of_range(x: Node) -> Node:
    """A gain that f16 just holds, of a channel that is silent and so would be given more."""
    values = np.where(np.arange(K) == LOUD, 60000, 1).astype(np.float16)
    silent = op.constant((np.arange(K) != LOUD).astype(np.float32))
    return op.multiply(op.convert(op.constant(values), "f32"), op.multiply(x, silent))


def gated(x: Node) -> Node:
    up = op.multiply(op.swish(linear(x, "gate", K)), linear(x, "up", K))
    return linear(up, "down")


def biased(x: Node) -> Node:
    return linear(op.add(linear(x, "first", K), constant(K)), "second")


@pytest.mark.parametrize(
    ("build", "reached"),
    [
        (lambda x: linear(gain(x), "one"), {"one"}),
        (lambda x: linear(layer_norm(x), "one"), {"one"}),
        (lambda x: linear(halves(x), "one"), {"one"}),
        (lambda x: linear(gain(x), "one", transposed=False), {"one"}),
        (lambda x: (y := gain(x)) and op.add(linear(y, "one"), linear(y, "two", transposed=False)), {"one", "two"}),
        (lambda x: gated(gain(x)), {"gate", "up", "down"}),
        (lambda x: biased(gain(x)), {"first", "second"}),
        (lambda x: linear(out_of_range(x), "too loud"), set()),
        (lambda x: linear(x, "no constant in front"), set()),
        (lambda x: linear(op.tanh(gain(x)), "not linear"), set()),
        (lambda x: linear(op.multiply(op.tanh(x), op.constant(np.float32(3))), "one gain for all"), set()),
        (lambda x: (y := gain(x)) and op.concat([linear(y, "read by another"), y], -1), set()),
        (lambda x: (w := constant(N, K)) and op.add(linear(gain(x), "a", weights=w), linear(x, "b", weights=w)), set()),
    ],
)  # fmt: skip
def test_the_model_computes_the_same_to_the_bit(build: Callable[[Node], Node], reached: set[str]) -> None:
    model = model_of(build)
    before = outputs(model, {"x": X})
    assert set(smooth(model, 0.5, [{"x": X}])) == reached
    np.testing.assert_array_equal(outputs(model, {"x": X}), before)
    assert len(model.outputs) == 1


def test_a_decoder_computes_the_same_to_the_bit() -> None:
    model = llama_model(2, fmt="w_f32_plain", lm_head_fmt="w_f32_plain")
    ids = RNG.integers(0, 320, (1, 24))
    inputs = {"input_ids": ids, "attention_mask": ids * 0 + 1, "position_ids": np.arange(24)[None], "beam_idx": [0]}
    sample: dict[str, Any] = {name: np.array(value) for name, value in inputs.items()}
    sample["beam_idx"] = sample["beam_idx"].astype(np.int32)
    before = outputs(model, sample)
    names = smooth(model, 0.5, [sample])
    # attention's output has no constant in front, and the head shares the embedding's weights
    assert len(names) == 2 * 6
    assert not any("o_proj" in name or "lm_head" in name for name in names)
    np.testing.assert_array_equal(outputs(model, sample)[0], before[0])


@pytest.mark.parametrize("strength", [0.5, 0.75])
def test_a_loud_channel_no_longer_drowns_the_others(strength: float) -> None:
    model = model_of(lambda x: linear(gain(x), "one"))
    (exact,) = outputs(model, {"x": X})

    def error() -> float:
        """Of the product with activations quantized per token."""
        node = next(op for op in model.get_ops() if op.get_friendly_name() == "one")
        read = ov.Model([op.result(node.input_value(0))], model.get_parameters())
        (activation,) = outputs(read, {"x": X})
        found = dequantized(activation, K) @ node.input_value(1).get_node().data.T
        return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))

    before = error()
    smooth(model, strength, [{"x": X}])
    assert error() < before / 3  # the loud channel is 200 times the others, of which 14 at most are left at 0.5


def test_channels_that_are_never_seen_stay_finite() -> None:
    model = model_of(lambda x: linear(op.multiply(x, op.constant(GAIN)), "one"))
    silent = np.where(np.arange(K) < 8, 0, X).astype(np.float32)
    before = outputs(model, {"x": X})
    smooth(model, 0.5, [{"x": silent}, {"x": silent * 0}])
    np.testing.assert_array_equal(outputs(model, {"x": X}), before)


def test_weights_in_f16_lose_next_to_nothing() -> None:
    """Those that fall below the normal numbers lose digits, by 2^-25 each."""
    weights = np.random.default_rng(1).standard_normal((N, K)).astype(np.float16)
    model = model_of(lambda x: linear(halves(x), "one", weights=op.convert(op.constant(weights), "f32")))
    (before,) = outputs(model, {"x": X})
    assert smooth(model, 0.5, [{"x": X}]) == ["one"]
    (after,) = outputs(model, {"x": X})
    # K products with activations of up to 1, which are multiplied by up to 2^8
    np.testing.assert_allclose(after, before, rtol=0, atol=K * 2.0**8 * 2.0**-25)


def test_compress_smooths_first_and_says_what_it_reached(tmp_path: Path) -> None:
    source = float_llama(tmp_path / "in")
    done = compress_source(source, tmp_path / "out", Recipe("int8_sym", smooth=0.5), calibration=FEW)
    assert weight_types(done) == {"i8": 8}
    assert "smoothed 6 of 8 layers; not attn.out (1), lm_head (1)" in done.notes[0]
    compress_source(source, tmp_path / "plain", Recipe("int8_sym"))
    weights = [(tmp_path / name / "openvino_model.bin").read_bytes() for name in ("out", "plain")]
    assert weights[0] != weights[1]
