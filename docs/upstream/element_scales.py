"""CPU plugin: SIGFPE with compressed weights that have a scale for each element, as ONNX models with g_idx get."""

import numpy as np
import openvino as ov
from openvino import opset13 as op

K, N = 64, 32

rng = np.random.default_rng(0)  # equal scales would be merged
x = op.parameter([-1, -1, K], ov.Type.f32)
codes = op.constant(rng.integers(0, 16, (N, K), np.int32), dtype=ov.Type.u4)
zero_point = op.constant(rng.integers(6, 10, (N, K), np.int32), dtype=ov.Type.u4)
scale = op.constant(rng.random((N, K), np.float32))
weights = op.multiply(op.subtract(op.convert(codes, "f32"), op.convert(zero_point, "f32")), scale)
model = ov.Model([op.matmul(x, weights, False, True)], [x])

compiled = ov.Core().compile_model(model, "CPU")
print("compiled; the next line ends the process", flush=True)
compiled(np.zeros((1, 5, K), np.float32))
print("it ran")
