"""GPU plugin: compilation fails for three MatMuls of one activation if one of them has an f16 zero point."""

import numpy as np
import openvino as ov
from openvino import opset13 as op

K, N, GROUP = 512, 32, 64


rng = np.random.default_rng(0)  # equal weights would be merged, and equal zero points become a scalar


def matmul(x: ov.Node, *, float_zero_point: bool) -> ov.Node:
    """A MatMul with u4 weights in groups."""
    shape, per_group = (N, K // GROUP, GROUP), (N, K // GROUP, 1)
    codes = op.constant(rng.integers(0, 16, shape, np.int32), dtype=ov.Type.u4)
    if float_zero_point:
        zero_point = op.constant(np.full(per_group, 8, np.float16))
    else:
        zero_point = op.convert(op.constant(rng.integers(6, 10, per_group, np.int32), dtype=ov.Type.u4), "f16")
    scale = op.constant(np.full(per_group, 0.01, np.float16))
    weights = op.multiply(op.subtract(op.convert(codes, "f16"), zero_point), scale)
    product = op.matmul(x, op.convert(op.reshape(weights, np.array([N, K]), False), "f32"), False, True)
    return op.relu(product)


x = op.parameter([-1, -1, K], ov.Type.f32)
model = ov.Model([matmul(x, float_zero_point=number == 0) for number in range(3)], [x])
try:
    ov.Core().compile_model(model, "GPU")
    print("it compiles")
except RuntimeError as error:
    print(error)
