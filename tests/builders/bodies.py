"""Models with a compressed MatMul "body_linear" inside the body of another op."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as op

from .formats import weight_format
from .layers import Format, activation, finish, matmul


def _body_input(fmt: Format, k: int, name: str) -> ov.op.Parameter:
    return op.parameter([-1, -1, k], getattr(ov.Type, weight_format(fmt).output), name=name)


def _body_matmul(x: ov.op.Parameter, fmt: Format, k: int, name: str, seed: int) -> ov.op.Result:
    # tanh keeps repeated application bounded
    return op.result(op.tanh(matmul(x, fmt, k, k, name, seed)))


def if_model(fmt: Format = "w_i8_sym_ch", k: int = 256, seed: int = 0) -> ov.Model:
    """x [batch, tokens, K], boolean "condition" -> y: "body_linear" if true, else "body_linear_else"."""
    x = activation(fmt, k)
    condition = op.parameter([], np.bool_, name="condition")
    condition.output(0).set_names({"condition"})
    then_x, else_x = _body_input(fmt, k, "then_x"), _body_input(fmt, k, "else_x")
    then_y = _body_matmul(then_x, fmt, k, "body_linear", seed)
    else_y = _body_matmul(else_x, fmt, k, "body_linear_else", seed + 1)
    node = op.if_op(condition)
    node.set_friendly_name("if")
    node.set_then_body(ov.Model([then_y], [then_x], "then"))
    node.set_else_body(ov.Model([else_y], [else_x], "else"))
    node.set_input(x.output(0), then_x, else_x)
    y = node.set_output(then_y, else_y)
    return finish([y], [x, condition], ["y"])


def loop_model(fmt: Format = "w_i8_sym_ch", k: int = 256, trips: int | None = None, seed: int = 0) -> ov.Model:
    """x [batch, tokens, K] -> y: "body_linear" applied `trips` times; None makes that an i64 input."""
    x = activation(fmt, k)
    inputs = [x]
    if trips is None:
        count = op.parameter([], np.int64, name="trips")
        count.output(0).set_names({"trips"})
        inputs.append(count)
    else:
        count = op.constant(np.int64(trips))
    body_x = _body_input(fmt, k, "body_x")
    body_y = _body_matmul(body_x, fmt, k, "body_linear", seed)
    go_on = op.result(op.constant(np.array(True)))
    node = op.loop(count, op.constant(np.array(True)))
    node.set_friendly_name("loop")
    node.set_function(ov.Model([go_on, body_y], [body_x], "body"))
    node.set_special_body_ports([-1, 0])
    node.set_merged_input(body_x, x.output(0), body_y.output(0))
    return finish([node.get_iter_value(body_y.output(0), -1)], inputs, ["y"])


def tensor_iterator_model(fmt: Format = "w_i8_sym_ch", k: int = 256, n: int = 64, seed: int = 0) -> ov.Model:
    """x [batch, tokens, K] -> y [batch, tokens, N]: "body_linear" applied to one token at a time."""
    x = activation(fmt, k)
    body_x = op.parameter([-1, 1, k], getattr(ov.Type, weight_format(fmt).output), name="body_x")
    body_y = op.result(matmul(body_x, fmt, n, k, "body_linear", seed))
    node = op.tensor_iterator()
    node.set_friendly_name("tensor_iterator")
    node.set_body(ov.Model([body_y], [body_x], "body"))
    node.set_sliced_input(body_x, x.output(0), 0, 1, 1, -1, 1)
    return finish([node.get_concatenated_slices(body_y.output(0), 0, 1, 1, -1, 1)], [x], ["y"])
