"""GPU plugin on Xe3p: clBuildProgram fails for mxfp4 and mxfp8 weights at most group sizes."""

import numpy as np
import openvino as ov
from openvino import opset13 as op

K, N, GROUP = 512, 64, 32

x = op.parameter([-1, -1, K], ov.Type.f32)
codes = op.constant(np.ones((N, K // GROUP, GROUP), np.float32), dtype=ov.Type.f8e4m3)
scale = op.constant(np.ones((N, K // GROUP, 1), np.float32), dtype=ov.Type.f8e8m0)
weights = op.multiply(op.convert(codes, "f32"), op.convert(scale, "f32"))
model = ov.Model([op.matmul(x, op.reshape(weights, np.array([N, K]), False), False, True)], [x])
for group_size in (32, 64, 2**64 - 1):
    try:
        ov.Core().compile_model(model, "GPU", {"DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group_size)})
        print(group_size, "compiles")
    except RuntimeError as error:
        print(group_size, str(error).strip().splitlines()[-1])
