"""SmoothQuant: move activation outliers into the weights.

Channel j of an activation is divided by s_j = max|x_j|^a / max|w_j|^(1 - a), and its weights are multiplied by s_j
(Xiao et al. 2023, equation 4; arXiv 2211.10438). The division happens in constants: the gain of the norm in front, or
the rows of the linear layer in front. Here s_j is a power of two, so that the model computes the same as before, to the
bit. Constants in f16 that fall below 2^-14 lose digits, at most 2^-25 each. A factor common to all channels changes
nothing, so the geometric mean of s_j is 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.compression.calibration import Inputs
from ovpass.compression.observation import observe

_FLOATS = ("f16", "f32")
_ELEMENTWISE = ("Add", "Multiply")
_SMALLEST = 1e-5
"""Of a magnitude, as in the authors' code: channels can be zero."""
_LARGEST_EXPONENT = 8

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Tensor:
    """A constant that nothing but `port` reads; `axis` is that of the channels."""

    port: ov.Input
    axis: int

    @property
    def constant(self) -> ov.Node:
        return self.port.get_source_output().get_node()

    def times(self, factors: Array) -> Array:
        """The values by `factors` [channels], infinite where f16 does not hold them."""
        data = self.constant.data
        shape = np.ones(data.ndim, int)
        shape[self.axis] = len(factors)
        with np.errstate(over="ignore"):
            return np.asarray((data * factors.reshape(shape)).astype(data.dtype))

    def replace(self, values: Array) -> None:
        new = op.constant(values)
        new.set_friendly_name(self.constant.get_friendly_name())
        self.port.replace_source_output(new.output(0))


@dataclass(frozen=True)
class _Linear:
    """A MatMul by weights of its own: `columns` are those along K, `rows` along N."""

    matmul: ov.Node
    columns: _Tensor
    rows: _Tensor


@dataclass(frozen=True)
class _Group:
    """The layers that read one activation, all its readers, and the constants that can be divided in its place."""

    activation: ov.Output
    layers: Sequence[_Linear]
    producer: Sequence[_Tensor]


def smooth(model: ov.Model, strength: float, samples: Sequence[Inputs]) -> list[str]:
    """Smooth `model` in place by what `samples` show; the names of the MatMuls that it reached.

    `strength` (above 0, below 1) is a: the larger, the more of the difficulty goes to the weights. Left alone are
    layers whose activation no constant scales, or has other readers, those that share their weights, and those that
    would leave the range of f16.
    """
    groups = _groups(model)
    largest = _largest(model, groups, samples)
    reached = []
    # The weights in front of an activation are scaled before their own activation is looked at.
    for group, magnitudes in reversed(list(zip(groups, largest, strict=True))):
        factors = _factors(group, magnitudes, strength)
        changed = [(tensor, tensor.times(1 / factors)) for tensor in group.producer]
        changed += [(layer.columns, layer.columns.times(factors)) for layer in group.layers]
        if all(np.isfinite(values).all() for _, values in changed):
            for tensor, values in changed:
                tensor.replace(values)
            reached += [layer.matmul.get_friendly_name() for layer in group.layers]
    return reached


def _groups(model: ov.Model) -> list[_Group]:
    """In topological order."""
    by_activation: dict[tuple[str, int], list[_Linear]] = defaultdict(list)
    for node in model.get_ordered_ops():
        if layer := _linear(node):
            source = node.input_value(0)
            by_activation[source.get_node().get_name(), source.get_index()].append(layer)
    groups = []
    for layers in by_activation.values():
        activation = layers[0].matmul.input_value(0)
        channels = layers[0].columns.constant.data.shape[layers[0].columns.axis]
        readers = [port.get_node() for port in activation.get_target_inputs()]
        others = [node for node in readers if node.get_type_name() != "ShapeOf"]
        producer = _producer(activation, channels)
        if producer and len(others) == len(layers) and activation.get_partial_shape().rank.is_static:
            groups.append(_Group(activation, layers, producer))
    return groups


def _linear(node: ov.Node) -> _Linear | None:
    if node.get_type_name() != "MatMul" or node.get_attributes()["transpose_a"]:
        return None
    port = _own_constant(node.input(1))
    if port is None or port.get_partial_shape().rank.get_length() != 2:
        return None
    columns, rows = (1, 0) if node.get_attributes()["transpose_b"] else (0, 1)
    return _Linear(node, _Tensor(port, columns), _Tensor(port, rows))


def _producer(output: ov.Output, channels: int) -> list[_Tensor] | None:
    """The constants that scale each of the channels, the last axis of `output`."""
    node = output.get_node()
    if layer := _linear(node):
        return [layer.rows] if layer.rows.constant.data.shape[layer.rows.axis] == channels else None
    if node.get_type_name() not in _ELEMENTWISE:
        return None
    vector = next((found for port in node.inputs() if (found := _vector(port, channels))), None)
    if node.get_type_name() == "Multiply":
        return [vector] if vector else next(filter(None, (_behind(port, channels) for port in node.inputs())), None)
    rest = next(filter(None, (_behind(port, channels) for port in node.inputs())), None)
    return [vector, *rest] if vector and rest else None


def _behind(port: ov.Input, channels: int) -> list[_Tensor] | None:
    """The same for an input, where nothing else reads it."""
    source = port.get_source_output()
    return _producer(source, channels) if len(source.get_target_inputs()) == 1 else None


def _vector(port: ov.Input, channels: int) -> _Tensor | None:
    """A constant with a value for each channel, the same for all tokens."""
    own = _own_constant(port)
    shape = list(own.get_source_output().get_node().data.shape) if own else []
    return _Tensor(own, len(shape) - 1) if own and shape[-1:] == [channels] == [int(np.prod(shape))] else None


def _own_constant(port: ov.Input) -> ov.Input | None:
    """Where the constant behind an input is read, in floating point and by nothing else."""
    source = port.get_source_output()
    if source.get_node().get_type_name() == "Convert" and len(source.get_target_inputs()) == 1:
        port = source.get_node().input(0)
        source = port.get_source_output()
    suits = source.get_node().get_type_name() == "Constant" and source.get_element_type().to_string() in _FLOATS
    return port if suits and len(source.get_target_inputs()) == 1 else None


def _largest(model: ov.Model, groups: Sequence[_Group], samples: Sequence[Inputs]) -> list[Array]:
    """The largest magnitude of each channel [K] over all samples, by group."""
    found: list[Array] = []
    for seen in observe(model, [_maximum(group.activation).output(0) for group in groups], samples):
        found = [np.maximum(*pair) for pair in zip(found or seen, seen, strict=True)]
    return found


def _maximum(activation: ov.Output) -> ov.Node:
    axes = np.arange(activation.get_partial_shape().rank.get_length() - 1)
    return op.reduce_max(op.abs(activation), op.constant(axes.astype(np.int64)))


def _factors(group: _Group, magnitudes: Array, strength: float) -> Array:
    """s [K], f32."""
    columns = [np.abs(layer.columns.constant.data).max(layer.rows.axis) for layer in group.layers]
    own = np.max(columns, axis=0).astype(np.float32)
    s = np.maximum(magnitudes, _SMALLEST) ** strength / np.maximum(own, _SMALLEST) ** (1 - strength)
    exponents = np.log2(s)
    with np.errstate(invalid="ignore"):  # of activations that are not finite
        exponents -= exponents.mean()
    whole = np.rint(exponents).clip(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    return np.asarray(np.exp2(whole), np.float32)
