"""Second moments of activations, and rounding that makes up for its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.compression.error_feedback import round_with_feedback
from ovpass.compression.hessians import inverse_factor, second_moments, shared_activations

Array = npt.NDArray[Any]

K, N = 32, 24
RNG = np.random.default_rng(7)
MIX = RNG.standard_normal((K, K)) * np.exp(RNG.standard_normal(K))
X = (RNG.standard_normal((400, K)) @ MIX).astype(np.float32)
H = X.T @ X / np.float32(len(X))
W = RNG.standard_normal((N, K)).astype(np.float32)


class Steps:
    """Rounds to multiples of a half."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def begin(self, start: int, columns: Array) -> None:
        assert columns.shape[0] == N
        self.blocks.append(start)

    def quantize(self, _start: int, columns: Array, inverse: Array) -> Array:
        assert inverse.shape == (columns.shape[1],) * 2
        return np.asarray(np.round(columns * 2) / 2)


def textbook(weights: Array, moments: Array) -> Array:
    """Optimal brain quantization in order: the inverse is made anew for the columns that are left."""
    left, rounded = weights.astype(np.float64), np.empty_like(weights)
    damped = moments.astype(np.float64) + np.eye(K) * 0.01 * np.diag(moments).mean()
    for column in range(K):
        inverse = np.linalg.inv(damped[column:, column:])
        rounded[:, column] = np.round(left[:, column] * 2) / 2
        error = (left[:, column] - rounded[:, column]) / inverse[0, 0]
        left[:, column:] -= np.outer(error, inverse[0])
    return rounded


def loss(rounded: Array) -> float:
    return float(np.einsum("nk,kl,nl->", W - rounded, H, W - rounded))


@pytest.mark.parametrize("block", [8, 32])
def test_single_columns_are_rounded_as_optimal_brain_quantization_does(block: int) -> None:
    quantizer = Steps()
    rounded = round_with_feedback(W, inverse_factor(H), quantizer, block=block)
    assert quantizer.blocks == list(range(0, K, block))
    # f32 updates flip single roundings of values in the middle.
    assert (rounded == textbook(W, H)).mean() > 0.98


@pytest.mark.parametrize("step", [1, 2, 8])
def test_feedback_lowers_the_error_of_the_output(step: int) -> None:
    rounded = round_with_feedback(W, inverse_factor(H), Steps(), step=step, block=16)
    assert loss(rounded) < 0.9 * loss(np.round(W * 2) / 2)


def test_steps_must_divide_blocks_and_blocks_columns() -> None:
    for step, block in ((3, 16), (1, 20)):
        with pytest.raises(ValueError, match="do not divide"):
            round_with_feedback(W, inverse_factor(H), Steps(), step=step, block=block)


def test_silent_channels_do_not_stop_the_inverse() -> None:
    silent = H.copy()
    silent[3], silent[:, 3] = 0, 0
    factor = inverse_factor(silent)
    assert np.isfinite(factor).all()
    assert np.allclose(factor, np.triu(factor))


def model() -> ov.Model:
    """Two MatMuls of one activation, and a third of what they compute."""
    x = op.parameter(ov.PartialShape([-1, -1, K]), np.float32, name="x")
    first, second = op.matmul(x, op.constant(W), False, True), op.matmul(x, op.constant(W + 1), False, True)
    third = op.matmul(op.add(first, second), op.constant(W), False, False)
    for name, node in (("first", first), ("second", second), ("third", third)):
        node.set_friendly_name(name)
    return ov.Model([op.result(third)], [x])


@pytest.mark.parametrize("at_once", [1, 1 << 30])
def test_moments_are_those_of_all_tokens(at_once: int) -> None:
    given = model()
    samples = [{"x": X[np.newaxis, start : start + 100]} for start in range(0, 400, 100)]
    told: list[tuple[int, int]] = []
    activations = shared_activations(given, ["third", "second", "first"])
    found = list(second_moments(given, activations, samples, at_once=at_once, progress=lambda *step: told.append(step)))
    names: list[Sequence[str]] = [activation.matmuls for activation, _ in found]
    assert names == [("first", "second"), ("third",)]
    assert np.allclose(found[0][1], H, rtol=1e-4, atol=1e-4)
    y = X @ (2 * W + 1).T
    assert np.allclose(found[1][1], y.T @ y / np.float32(400), rtol=1e-3)
    assert told[-1][0] == told[-1][1] == (8 if at_once == 1 else 4)
    assert len(given.outputs) == 1
