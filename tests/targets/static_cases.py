"""Activations that a model quantizes itself, by a FakeQuantize with constant ranges somewhere before the MatMul."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import openvino as ov
from openvino import opset13 as op

from tests.builders import linear_model
from tests.builders.layers import Value
from tests.targets.cases import Build

Step = Callable[[Value], Value]

FORMATS = (
    "w_u8_sym_ch", "w_u8_asym_ch", "w_i8_asym_ch", "w_i8_sym_g128", "w_i4_sym_ch", "w_i4_scalar_scale",
    "w_u4_asym_g128", "p_i8_ch_tb_false_KN", "p_i8_ch_transpose_node",
)  # fmt: skip


def number(value: float) -> Value:
    return op.constant(np.float32(value))


def quantized(x: Value, low: float = -3.0, high: float = 2.9, levels: int = 256) -> Value:
    return op.fake_quantize(x, number(low), number(high), number(low), number(high), levels)


def from_codes(x: Value) -> Value:
    """As ONNX writes it: to u8 and back."""
    codes = op.fake_quantize(x, number(-3), number(2.9), number(0), number(255), 256)
    return op.multiply(op.subtract(op.convert(op.convert(codes, "u8"), "f32"), number(128)), number(5.9 / 255))


def reshaped(*shapes: tuple[int, ...]) -> Step:
    """Quantized in the first of the shapes, then brought to the others; 0 keeps a dimension."""

    def build(x: Value) -> Value:
        x = quantized(op.reshape(x, np.array(shapes[0]), True))
        for shape in shapes[1:]:
            x = op.reshape(x, np.array(shape), True)
        return x

    return build


def turned(x: Value) -> Value:
    return op.transpose(op.transpose(quantized(x), np.array([1, 0, 2])), np.array([1, 0, 2]))


def of_each(x: Value) -> Value:
    """Multiplied by other numbers along K."""
    return op.multiply(quantized(x), op.constant(np.linspace(1, 2, 512, dtype=np.float32)))


STEPS: dict[str, Step] = {
    "signed": lambda x: quantized(x, -3, 3 * 127 / 128),
    "255 levels": lambda x: quantized(x, -1, 1, 255),
    "16 levels": lambda x: quantized(x, levels=16),
    "128 levels": lambda x: quantized(x, levels=128),
    "65536 levels": lambda x: quantized(x, levels=65536),
    "from codes": from_codes,
    "transposed": turned,
    "scaled": lambda x: op.multiply(quantized(x), number(0.5)),
    "shifted": lambda x: op.add(quantized(x), number(0.5)),
    "scaled along K": of_each,
    "gelu": lambda x: op.gelu(quantized(x), "erf"),
    "heads": reshaped((0, 0, 4, 128), (0, 0, 512)),
    "matrix": reshaped((0, 0, 512), (-1, 512)),
}


def behind(step: Step, model: ov.Model) -> ov.Model:
    """The model with `step` between its input and what reads it."""
    source = model.get_parameters()[0].output(0)
    readers = list(source.get_target_inputs())
    stepped = step(source)
    for reader in readers:
        reader.replace_source_output(stepped if isinstance(stepped, ov.Output) else stepped.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _behind(step: Step, fmt: str = "w_i8_sym_ch", **shape: int) -> ov.Model:
    return behind(step, linear_model(fmt, **shape))  # type: ignore[arg-type]


def _cases() -> Iterable[tuple[str, Build]]:
    for fmt in FORMATS:
        yield fmt, partial(_behind, quantized, fmt)
    for name, step in STEPS.items():
        yield name, partial(_behind, step)
    yield "heads of a static shape", partial(_behind, STEPS["heads"], static_tokens=70)
    yield "weights first", partial(_behind, quantized, weights_on_input0=True)
    yield "rank 4", partial(_behind, quantized, rank=4)
    yield "K of 500", partial(_behind, quantized, k=500)


STATIC: dict[str, Build] = dict(_cases())
"""Each a model of one MatMul with K=512 unless it says otherwise."""
