"""Forms of the int8 subgraph, each a rewriting of the same model: what scripts/bench_int8.py compares.

A form is how the activation becomes codes and a scale, and what is done to the product. `ovpass` itself is one of them,
as are those that it was before, or could have been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass import api
from ovpass.ir.constant_folding import evaluate
from ovpass.lowerings.planner import make_plan
from ovpass.passes.editing import append, feed
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls

Value: TypeAlias = ov.Node | ov.Output
Quantize = Callable[[Value], tuple[ov.Node, ov.Node]]
Rescale = Callable[[ov.Output, ov.Node, CompressedMatMul], ov.Node]

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
DQ = {**F32, "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"}
FLOOR = 0.003
STATIC_RANGE = 6.0


@dataclass(frozen=True)
class Variant:
    """What is done to a model, and the properties that it is compiled with."""

    rewrite: Callable[[ov.Model], ov.Model]
    properties: dict[str, str]
    about: str


def plain(model: ov.Model) -> ov.Model:
    """The model as it is."""
    return model


def ovpass_int8(model: ov.Model, target: str = "cpu") -> ov.Model:
    """What `ovpass apply --lowering int8` makes of the model."""
    return api.apply(model, make_plan(model, Settings(lowering="int8", target=target, requantize=True)))


def _multiply(y: ov.Output, scale: ov.Node, _: CompressedMatMul) -> ov.Node:
    return op.multiply(y, scale)


def form(quantize: Quantize, rescale: Rescale = _multiply) -> Callable[[ov.Model], ov.Model]:
    """The rewriting that puts this form around every compressed MatMul."""

    def rewrite(model: ov.Model) -> ov.Model:
        changed = model.clone()
        shared: dict[str, list[CompressedMatMul]] = defaultdict(list)
        for site in find_compressed_matmuls(changed):
            shared[site.group_id].append(site)
        for sites in shared.values():
            codes, scale = quantize(sites[0].activation)
            for site in sites:
                feed(site, codes.output(0))
                append(site.matmul, lambda y, scale=scale, site=site: rescale(y, scale, site))  # type: ignore[misc]
        return changed

    return rewrite


def _number(value: float) -> ov.Node:
    return op.constant(np.float32(value))


def _over_k(reduction: Callable[..., ov.Node], x: Value) -> ov.Node:
    return reduction(x, np.array([-1]), keep_dims=True)


def _fake_quantize(x: Value, low: float, high: float, to_low: float, to_high: float, levels: int) -> ov.Node:
    return op.fake_quantize(x, _number(low), _number(high), _number(to_low), _number(to_high), levels)


def _unit(x: Value) -> ov.Node:
    return _fake_quantize(x, -1, 1, -1, 1, 255)


def _codes(x: Value) -> ov.Node:
    return _fake_quantize(x, -128, 127, -128, 127, 256)


def _absolute(x: Value) -> ov.Node:
    return _over_k(op.reduce_max, op.abs(x))


def _min_max(x: Value) -> ov.Node:
    return op.maximum(_over_k(op.reduce_max, x), op.negative(_over_k(op.reduce_min, x)))


def _squares(x: Value) -> ov.Node:
    return op.sqrt(_over_k(op.reduce_max, op.multiply(x, x)))


def _clamped(m: ov.Node) -> ov.Node:
    return op.clamp(m, FLOOR, float(np.finfo(np.float32).max))


def _floored(m: ov.Node) -> ov.Node:
    return op.maximum(m, _number(FLOOR))


def _added(m: ov.Node) -> ov.Node:
    return op.add(m, _number(FLOOR))


def _by_matmul(m: ov.Node) -> ov.Node:
    return op.unsqueeze(op.matmul(m, op.constant(np.ones(1, np.float32)), False, False), np.array([-1]))


def _by_matrix(m: ov.Node) -> ov.Node:
    return op.matmul(m, op.constant(np.ones((1, 1), np.float32)), False, False)


def _divided(
    largest: Callable[[Value], ov.Node],
    floor: Callable[[ov.Node], ov.Node],
    apart: Callable[[ov.Node], ov.Node] = plain,
) -> Quantize:
    """x over the largest of its token; `apart` is put between the scale and the rescale."""

    def quantize(x: Value) -> tuple[ov.Node, ov.Node]:
        m = floor(largest(x))
        return _unit(op.divide(x, m)), apart(m)

    return quantize


def _scale_first(x: Value) -> tuple[ov.Node, ov.Node]:
    s = op.multiply(_floored(_absolute(x)), _number(1 / 127))
    return _codes(op.divide(x, s)), s


def _reciprocal(x: Value) -> tuple[ov.Node, ov.Node]:
    m = _clamped(_absolute(x))
    return _unit(op.multiply(x, _by_matrix(op.divide(_number(1), m)))), m


def _flat(x: Value) -> tuple[ov.Node, ov.Node]:
    k = x.get_partial_shape()[-1].get_length()
    codes, m = _divided(_absolute, _clamped)(op.reshape(x, np.array([-1, k]), special_zero=False))
    return codes, m


def _unflat(y: ov.Output, scale: ov.Node, site: CompressedMatMul) -> ov.Node:
    return op.reshape(op.multiply(y, scale), np.array([1, -1, site.n]), special_zero=False)


def _ranged(x: Value) -> tuple[ov.Node, ov.Node]:
    m = _clamped(_absolute(x))
    return op.fake_quantize(x, op.negative(m), m, _number(-1), _number(1), 255), m


def _rounded(x: Value) -> tuple[ov.Node, ov.Node]:
    s = op.multiply(_clamped(_absolute(x)), _number(1 / 127))
    codes = op.clamp(op.round(op.divide(x, s), "half_to_even"), -128, 127)
    return op.convert(op.convert(codes, ov.Type.i8), ov.Type.f32), s


def _dequantized(x: Value) -> tuple[ov.Node, ov.Node]:
    codes, m = _divided(_absolute, _clamped)(x)
    return op.multiply(codes, m), _number(1)


def _unsigned(x: Value) -> tuple[ov.Node, ov.Node]:
    m = _clamped(_absolute(x))
    return _fake_quantize(op.divide(x, m), -128 / 127, 1, 0, 255 / 127, 256), m


def _corrected(y: ov.Output, scale: ov.Node, site: CompressedMatMul) -> ov.Node:
    """What 128 too much in every code comes to: one number a channel, added before the rescale."""
    sums = np.asarray(evaluate(site.matmul.input_value(site.weights_input)), np.float64).sum(-1)
    correction = op.constant((sums * (-128 / 127)).astype(np.float32)[None, None])
    return op.multiply(op.add(y, correction), scale)


def _static(x: Value) -> tuple[ov.Node, ov.Node]:
    return _fake_quantize(op.multiply(x, _number(1 / STATIC_RANGE)), -1, 1, -1, 1, 255), _number(STATIC_RANGE)


PASS = _divided(_absolute, _clamped)
MAIN = {
    "default": Variant(plain, {}, "no property, no rewriting"),
    "dq": Variant(plain, DQ, "the plugin's own: f32, group 32"),
    "int8": Variant(ovpass_int8, {}, "ovpass, lowering int8"),
    "static": Variant(form(_static), {}, "the limit: int8 with a constant for a scale"),
}
FORMS = {
    "scale-first": Variant(form(_scale_first), {}, "s = max(|x|, floor) / 127, codes -128 .. 127 (the former pass)"),
    "unit": Variant(form(PASS), {}, "as ovpass, no MatMul between scale and output"),
    "unit-matmul-all": Variant(form(_divided(_absolute, _clamped, _by_matmul)), {}, "that MatMul after every scale"),
    "unit-matrix-all": Variant(form(_divided(_absolute, _clamped, _by_matrix)), {}, "and with a 1 x 1 matrix"),
    "min-max": Variant(form(_divided(_min_max, _clamped, _by_matmul)), {}, "max(ReduceMax, -ReduceMin), no Abs"),
    "squares": Variant(form(_divided(_squares, _clamped, _by_matmul)), {}, "Sqrt(ReduceMax(x * x)), no Abs"),
    "maximum": Variant(form(_divided(_absolute, _floored, _by_matmul)), {}, "Maximum for the floor, no Clamp"),
    "add": Variant(form(_divided(_absolute, _added, _by_matmul)), {}, "+ floor, no Clamp"),
    "reciprocal": Variant(form(_reciprocal), {}, "1 / m on its own, held apart by a MatMul"),
    "rank-2": Variant(form(_flat, _unflat), {}, "tokens flattened before, restored after"),
    "u8": Variant(form(_unsigned, _corrected), {}, "u8 codes, a constant correction per channel"),
    "ranged": Variant(form(_ranged), {}, "FakeQuantize with ranges -m .. m from the graph"),
    "rounded": Variant(form(_rounded), {}, "Round, Clamp, Convert to i8; no FakeQuantize"),
    "dequantized": Variant(form(_dequantized), {}, "scale multiplied before the MatMul"),
    "unit f32": Variant(form(PASS), F32, "the form of ovpass with f32 compute"),
    "min-max f32": Variant(form(_divided(_min_max, _clamped)), F32, "that without Abs with f32 compute"),
    "static f32": Variant(form(_static), F32, "the limit with f32 compute"),
}
