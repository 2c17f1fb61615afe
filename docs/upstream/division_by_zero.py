"""GPU plugin: SIGFPE with 4-bit weights that have a zero point per channel, and a finite group size below K."""

import numpy as np
import openvino as ov
from openvino import opset13 as op

K, N, TOKENS = 512, 32, 65

x = op.parameter([-1, -1, K], ov.Type.f32)
codes = op.constant(np.full((N, K), 7, np.int32), dtype=ov.Type.u4)
zero_point = op.constant(np.full((N, 1), 8, np.int32), dtype=ov.Type.u4)
scale = op.constant(np.full((N, 1), 0.01, np.float16))
weights = op.multiply(op.subtract(op.convert(codes, "f16"), op.convert(zero_point, "f16")), scale)
model = ov.Model([op.matmul(x, op.convert(weights, "f32"), False, True)], [x])

compiled = ov.Core().compile_model(model, "GPU", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"})
print("compiled; the next line ends the process with SIGFPE", flush=True)
compiled(np.zeros((1, TOKENS, K), np.float32))
print("it ran")
