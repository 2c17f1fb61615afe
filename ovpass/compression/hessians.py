"""Second moments of activations: what methods that fit weights to a text look at.

The squared error that a change D of weights [N, K] causes in the output of a MatMul is the trace of D H D^T, with the
second moments H [K, K] of its activation, the mean of x x^T over all tokens. GPTQ (Frantar et al. 2022, arXiv
2210.17323) calls 2 H the Hessian of the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.compression.calibration import Inputs
from ovpass.compression.observation import observe
from ovpass.support.threads import in_threads

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SharedActivation:
    """An activation and the MatMuls that read it, by name: they have one Hessian."""

    output: ov.Output
    matmuls: tuple[str, ...]


def shared_activations(model: ov.Model, matmuls: Sequence[str]) -> list[SharedActivation]:
    """The activations (input 0) of the MatMuls of those names, in topological order."""
    wanted = set(matmuls)
    found: dict[tuple[str, int], tuple[ov.Output, list[str]]] = {}
    for node in model.get_ordered_ops():
        if node.get_friendly_name() in wanted and node.get_type_name() == "MatMul":
            output = node.input_value(0)
            key = (output.get_node().get_name(), output.get_index())
            found.setdefault(key, (output, []))[1].append(node.get_friendly_name())
    return [SharedActivation(output, tuple(names)) for output, names in found.values()]


def second_moments(
    model: ov.Model,
    activations: Sequence[SharedActivation],
    samples: Sequence[Inputs],
    *,
    at_once: int = 1 << 30,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Iterator[tuple[SharedActivation, Array]]:
    """The second moments [K, K] (f32) of each activation, one after the other, in the order given.

    The samples are run once for every portion of activations whose moments together take no more than `at_once` bytes,
    so that a large model is looked at block by block. Between two portions the model may be changed, by which later
    activations are those of the changed model. `progress` is told how many samples of how many are done.
    """
    portions = _portions(activations, at_once)
    steps = _Steps(len(portions) * len(samples), progress)
    for portion in portions:
        yield from zip(portion, _run(model, portion, samples, steps), strict=True)


@dataclass
class _Steps:
    total: int
    tell: Callable[[int, int], None]
    done: int = 0

    def one_more(self) -> None:
        self.done += 1
        self.tell(self.done, self.total)


def inverse_factor(moments: Array, damping: float = 0.01) -> Array:
    """The upper triangular U [K, K] (f64) with U^T U the inverse of the damped moments.

    The mean of the diagonal times `damping` is added to it, more where that is not enough to invert it. Channels that
    are always zero do not matter to any output and get a 1.
    """
    damped = moments.astype(np.float64)
    diagonal = np.einsum("ii->i", damped)
    diagonal[diagonal <= 0] = 1
    step = damping * float(diagonal.mean())
    for _ in range(8):
        diagonal += step
        try:
            inverse = np.linalg.inv(damped)
            return np.ascontiguousarray(np.linalg.cholesky((inverse + inverse.T) / 2).T)
        except np.linalg.LinAlgError:
            step *= 10
    raise ValueError("second moments that cannot be inverted")


def _portions(activations: Sequence[SharedActivation], at_once: int) -> list[list[SharedActivation]]:
    portions: list[list[SharedActivation]] = []
    taken = 0
    for activation in activations:
        size = 4 * _channels(activation) ** 2
        if not portions or taken + size > at_once:
            portions.append([])
            taken = 0
        portions[-1].append(activation)
        taken += size
    return portions


def _channels(activation: SharedActivation) -> int:
    """K, by the weights of a reader where the graph does not know it."""
    last = activation.output.get_partial_shape()[-1]
    if last.is_static:
        return int(last.get_length())
    for port in activation.output.get_target_inputs():
        reader = port.get_node()
        if reader.get_friendly_name() in activation.matmuls:
            axis = -1 if reader.get_attributes()["transpose_b"] else -2
            return int(reader.input_value(1).get_partial_shape()[axis].get_length())
    raise ValueError(f"nothing tells how many channels {activation.output} has")


def _add(moments: Array, values: Array) -> None:
    """Those of some more tokens."""
    x = values.reshape(-1, len(moments))
    np.add(moments, x.T @ x, out=moments)


def _run(model: ov.Model, portion: Sequence[SharedActivation], samples: Sequence[Inputs], steps: _Steps) -> list[Array]:
    moments = [np.zeros((_channels(activation),) * 2, np.float32) for activation in portion]
    tokens = 0
    for seen in observe(model, [activation.output for activation in portion], samples):
        tokens += seen[0].size // len(moments[0])
        for _ in in_threads(partial(_add, *each) for each in zip(moments, seen, strict=True)):
            pass
        steps.one_more()
    return [total / np.float32(tokens) for total in moments]
