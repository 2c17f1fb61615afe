"""CPU plugin: the first inference after a shape has grown gives wrong numbers if an If passes its input on."""

import numpy as np
import openvino as ov
from openvino import opset13 as op

K, N = 128, 256

rng = np.random.default_rng(0)
x, condition = op.parameter([-1, -1, K], ov.Type.f32), op.parameter([], ov.Type.boolean)
inside, passed = op.parameter([-1, -1, K], ov.Type.f32), op.parameter([-1, -1, K], ov.Type.f32)
branch = op.if_op(condition.output(0))
branch.set_then_body(doubling := ov.Model([op.result(op.multiply(inside, np.float32(2)))], [inside]))
branch.set_else_body(passing := ov.Model([op.result(passed)], [passed]))
branch.set_input(x.output(0), inside, passed)
chosen = branch.set_output(doubling.results[0], passing.results[0])
weights = [op.constant(rng.standard_normal((N, K), np.float32)) for _ in range(2)]
products = [op.matmul(source, weight, False, True) for source, weight in zip((chosen, x), weights, strict=True)]
model = ov.Model([op.multiply(*products)], [x, condition])

request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
wrong = 0
for tokens in (8, 32, 128):
    inputs = [rng.standard_normal((1, tokens, K), np.float32), np.array(False)]
    first, second = (request.infer(inputs)[0].copy() for _ in range(2))
    wrong += not np.array_equal(first, second)
    print(tokens, "tokens: the same" if np.array_equal(first, second) else "tokens: the first inference differs")
print(wrong, "of 3 first inferences are wrong")
