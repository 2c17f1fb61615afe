"""Random models for property tests: chains of MatMuls, elementwise steps, If and Loop, and the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import openvino as ov
from hypothesis import strategies as st
from openvino import opset13 as op

from ovpass.ir.constant_folding import evaluate
from ovpass.targets.reference_arithmetic import Array
from tests.builders import FORMATS, activation, finish, matmul, weight_format, weights
from tests.builders.layers import Value

WIDTHS = (128, 256)
POINTWISE = ("relu", "tanh", "add", "scale")
SUITABLE = [fmt for fmt in FORMATS if weight_format(fmt).output == "f32" and not weight_format(fmt).batch]

Quantize = Callable[[str, Array], Array]
"""What becomes of the activation of the site of that name."""


@dataclass(frozen=True)
class Step:
    """One step of a chain.

    Its MatMuls are `name`, or `name_0`, `name_1` ... of one activation; those of an If and a Loop lie in their bodies.
    """

    kind: str
    name: str
    width: int = 0
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A model: x [..., tokens, k] through the steps."""

    rank: int
    static: bool
    k: int
    steps: tuple[Step, ...]

    @property
    def tokens(self) -> int:
        return 6

    def build(self) -> ov.Model:
        x: Value = activation("w_f32_plain", self.k, self.rank, self.tokens if self.static else None)
        condition = op.parameter([], np.bool_, name="condition")
        condition.output(0).set_names({"condition"})
        inputs = [x, condition]
        width, y = self.k, x
        for step in self.steps:
            y = _BUILDERS[step.kind](y, step, width, condition)
            width = step.width or width
        # the condition is read even where there is no If
        y = op.select(op.logical_or(condition, op.constant(np.array(True))), y, np.float32(0))
        return finish([y], inputs, ["y"])

    def compute(self, x: Array, condition: bool, quantize: Quantize) -> Array:
        """The output in NumPy."""
        width = self.k
        for step in self.steps:
            x = _MODELS[step.kind](x, step, width, condition, quantize).astype(np.float32)
            width = step.width or width
        return x


def _seed(name: str) -> int:
    return sum(map(ord, name))


def _linear(x: Value, fmt: str, n: int, k: int, name: str) -> ov.Output:
    return matmul(x, fmt, n, k, name, _seed(name))


def _product(x: Array, fmt: str, n: int, k: int, name: str, site: str, quantize: Quantize) -> Array:
    return quantize(site, x) @ _matrix(fmt, n, k, _seed(name))


@cache
def _matrix(fmt: str, n: int, k: int, seed: int) -> Array:
    """The decompressed weights, [K, N]."""
    values = np.asarray(evaluate(weights(fmt, n, k, seed)), np.float32)
    return values.T if weight_format(fmt).transpose_b else values


def _build_pointwise(x: Value, step: Step, k: int, _: Value) -> Value:
    if step.kind == "add":
        return op.add(x, _vector(k))
    if step.kind == "scale":
        return op.multiply(x, _vector(k))
    return op.relu(x) if step.kind == "relu" else op.tanh(x)


def _compute_pointwise(x: Array, step: Step, k: int, *_: object) -> Array:
    if step.kind == "add":
        return x + _vector(k)
    if step.kind == "scale":
        return x * _vector(k)
    return np.maximum(x, 0) if step.kind == "relu" else np.tanh(x)


def _vector(k: int) -> Array:
    return np.random.default_rng(k).uniform(0.5, 1.5, k).astype(np.float32)


def _build_matmuls(x: Value, step: Step, k: int, _: Value) -> Value:
    """The sum of one or several MatMuls of one activation."""
    outputs = [_linear(x, fmt, step.width, k, name) for name, fmt in _members(step)]
    y: Value = outputs[0]
    for output in outputs[1:]:
        y = op.add(y, output)
    return y


def _compute_matmuls(x: Array, step: Step, k: int, _: bool, quantize: Quantize) -> Array:
    parts = [_product(x, fmt, step.width, k, name, name, quantize) for name, fmt in _members(step)]
    return np.asarray(np.sum(parts, axis=0))


def _members(step: Step) -> list[tuple[str, str]]:
    if len(step.formats) == 1:
        return [(step.name, step.formats[0])]
    return [(f"{step.name}_{index}", fmt) for index, fmt in enumerate(step.formats)]


def _body(x: Value, fmt: str, k: int, name: str) -> tuple[ov.op.Parameter, ov.op.Result]:
    shape = x.get_partial_shape() if isinstance(x, ov.Output) else x.get_output_partial_shape(0)
    parameter = op.parameter(shape, np.float32, name=f"{name}_x")
    return parameter, op.result(op.tanh(_linear(parameter, fmt, k, k, name)), name=f"{name}_y")


def _build_if(x: Value, step: Step, k: int, condition: Value) -> Value:
    then_x, then_y = _body(x, step.formats[0], k, f"{step.name}_then")
    else_x, else_y = _body(x, step.formats[1], k, f"{step.name}_else")
    node = op.if_op(condition)
    node.set_friendly_name(step.name)
    node.set_then_body(ov.Model([then_y], [then_x], f"{step.name}_then"))
    node.set_else_body(ov.Model([else_y], [else_x], f"{step.name}_else"))
    node.set_input(x if isinstance(x, ov.Output) else x.output(0), then_x, else_x)
    return node.set_output(then_y, else_y)


def _compute_if(x: Array, step: Step, k: int, condition: bool, quantize: Quantize) -> Array:
    body, fmt = ("then", step.formats[0]) if condition else ("else", step.formats[1])
    name = f"{step.name}_{body}"
    return np.tanh(_product(x, fmt, k, k, name, f"{step.name}/{body}_body/{name}", quantize))


TRIPS = 2


def _build_loop(x: Value, step: Step, k: int, _: Value) -> Value:
    body_x, body_y = _body(x, step.formats[0], k, f"{step.name}_body")
    go_on = op.result(op.constant(np.array(True)))
    node = op.loop(op.constant(np.int64(TRIPS)), op.constant(np.array(True)))
    node.set_friendly_name(step.name)
    node.set_function(ov.Model([go_on, body_y], [body_x], f"{step.name}_body"))
    node.set_special_body_ports([-1, 0])
    node.set_merged_input(body_x, x if isinstance(x, ov.Output) else x.output(0), body_y.output(0))
    return node.get_iter_value(body_y.output(0), -1)


def _compute_loop(x: Array, step: Step, k: int, _: bool, quantize: Quantize) -> Array:
    name = f"{step.name}_body"
    for _trip in range(TRIPS):
        x = np.tanh(_product(x, step.formats[0], k, k, name, f"{step.name}/body/{name}", quantize)).astype(np.float32)
    return x


_BUILDERS: dict[str, Callable[..., Value]] = {
    **dict.fromkeys(POINTWISE, _build_pointwise),
    "matmul": _build_matmuls,
    "if": _build_if,
    "loop": _build_loop,
}
_MODELS: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(POINTWISE, _compute_pointwise),
    "matmul": _compute_matmuls,
    "if": _compute_if,
    "loop": _compute_loop,
}


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Chains of one to five steps, at least one of them with MatMuls."""
    kinds = draw(st.lists(st.sampled_from(("matmul", "matmul", "if", "loop", *POINTWISE)), min_size=1, max_size=4))
    kinds.insert(draw(st.integers(0, len(kinds))), "matmul")
    fmt = st.sampled_from(SUITABLE)
    steps = []
    for index, kind in enumerate(kinds):
        members = {"matmul": (1, 3), "if": (2, 2), "loop": (1, 1)}.get(kind, (0, 0))
        formats = tuple(draw(st.lists(fmt, min_size=members[0], max_size=members[1])))
        if kind == "matmul" and draw(st.booleans()):
            formats = formats[:1] * len(formats)  # alike, as Q, K and V are
        width = draw(st.sampled_from(WIDTHS)) if kind == "matmul" else 0
        steps.append(Step(kind, f"step_{index}", width, formats))
    return Recipe(draw(st.sampled_from((2, 3))), draw(st.booleans()), 256, tuple(_fitting(steps)))


def _fitting(steps: list[Step]) -> list[Step]:
    """The steps, with formats whose group does not divide the width there replaced."""
    width, fitted = 256, []
    for step in steps:
        formats = tuple(fmt if width % (weight_format(fmt).group or 1) == 0 else "w_i8_sym_ch" for fmt in step.formats)
        fitted.append(Step(step.kind, step.name, step.width, formats))
        width = step.width or width
    return fitted
