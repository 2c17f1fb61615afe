"""Products that a constant multiplies or divides, right away or after a bias: plugins fold it into the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import openvino as ov
from openvino import opset13 as op

from tests.builders import finish
from tests.builders.layers import Value
from tests.targets.cases import (
    GROUP,
    PER_GROUP,
    Build,
    K,
    N,
    asymmetric,
    codes,
    convert,
    flat,
    grouped,
    per_channel,
    reshape,
    scale,
    transpose,
)

Step = Callable[[Value], Value]


def factor(*shape: int, kind: str = "f32", of: float = 0.125) -> Value:
    values = of * np.linspace(1, 1.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    return op.constant(values, dtype=getattr(ov.Type, kind))


def multiplied(*shape: int, of: float = 0.125) -> Step:
    return lambda y: op.multiply(y, factor(*shape, of=of))


def divided(*shape: int) -> Step:
    return lambda y: op.divide(y, factor(*shape))


def biased(y: Value) -> Value:
    return op.add(y, op.constant(np.linspace(-1, 1, N, dtype=np.float32).reshape(1, N)))


def chain(*steps: Step) -> Step:
    def build(y: Value) -> Value:
        for step in steps:
            y = step(y)
        return y

    return build


def in_heads(y: Value) -> Value:
    return op.reshape(y, np.array([1, -1, 4, N // 4]), special_zero=False)


def read_twice(y: Value) -> Value:
    return op.add(op.multiply(y, factor()), op.relu(y))


def bias_read_twice(y: Value) -> Value:
    return read_twice(biased(y))


AFTER: dict[str, Step] = {
    "multiplied by a scalar": multiplied(),
    "multiplied by 1": multiplied(1),
    "multiplied by N": multiplied(N),
    "multiplied by 1xN": multiplied(1, N),
    "multiplied by 1x1xN": multiplied(1, 1, N),
    "multiplied by 1x1x1x1": multiplied(1, 1, 1, 1),
    "multiplied by 3": multiplied(of=3),
    "divided by a scalar": divided(),
    "divided by 1": divided(1),
    "divided by N": divided(N),
    "divided by 1xN": divided(1, N),
    "scalar first": lambda y: op.multiply(factor(), y),
    "scalar in f16": lambda y: op.multiply(y, op.convert(factor(kind="f16"), "f32")),
    "computed scalar": lambda y: op.divide(y, op.sqrt(factor(of=64))),
    "dividing a scalar": lambda y: op.divide(factor(), y),
    "negated": op.negative,
    "biased": biased,
    "biased then multiplied": chain(biased, multiplied()),
    "biased then divided by N": chain(biased, divided(N)),
    "biased twice then multiplied": chain(biased, biased, multiplied()),
    "shifted then multiplied": chain(lambda y: op.subtract(y, factor(N)), multiplied()),
    "multiplied then biased": chain(multiplied(), biased),
    "multiplied twice": chain(multiplied(), multiplied(N)),
    "relu then multiplied": chain(op.relu, multiplied()),
    "reshaped then multiplied": chain(in_heads, multiplied()),
    "multiplied then reshaped": chain(multiplied(), in_heads),
    "read twice": read_twice,
    "bias read twice": bias_read_twice,
}


def scaled(
    step: Step,
    *,
    rank: int = 2,
    weight: Callable[[], Value] | None = None,
    before: Step = lambda x: x,
    shape: Sequence[int] | None = None,
    kind: str = "f32",
) -> ov.Model:
    """x -> `before` -> MatMul "linear" -> `step` -> y."""
    dtype = getattr(ov.Type, kind)
    x = op.parameter([-1] * (rank - 1) + [K] if shape is None else list(shape), dtype, name="x")
    x.output(0).set_names({"x"})
    weights = per_channel() if weight is None else weight()
    node = op.matmul(before(x), op.convert(weights, kind), False, True)
    node.set_friendly_name("linear")
    return finish([step(node)], [x], ["y"])


def batched(*leading: int) -> Callable[[], Value]:
    return lambda: op.multiply(convert(codes((*leading, N, K))), scale((*leading, N, 1)))


GROUPED_WEIGHTS: dict[str, Callable[[], Value]] = {
    "groups": lambda: flat(grouped()),
    "groups with zero points": lambda: flat(asymmetric(convert(codes(PER_GROUP)))),
    "turned groups": lambda: transpose(reshape(turned_groups(), K, N)),
}


def turned_groups() -> Value:
    return op.multiply(convert(codes((K // GROUP, GROUP, N))), scale((K // GROUP, 1, N)))


def _cases() -> Iterable[tuple[str, Build]]:
    for rank in (2, 3, 4):
        for name, step in AFTER.items():
            yield f"rank {rank} {name}", partial(scaled, step, rank=rank)
    for chain, weight in GROUPED_WEIGHTS.items():
        for name in ("multiplied by a scalar", "biased then multiplied", "multiplied by N", "divided by N"):
            yield f"{chain} {name}", partial(scaled, AFTER[name], weight=weight)
    for factors in ((), (1,), (N,)):
        yield (
            f"1xNxK weights on rank 3 multiplied by {'x'.join(map(str, factors)) or 'a scalar'}",
            partial(scaled, multiplied(*factors), rank=3, weight=batched(1)),
        )
        yield (
            f"4xNxK weights on rank 3 multiplied by {'x'.join(map(str, factors)) or 'a scalar'}",
            partial(scaled, multiplied(*factors), rank=3, weight=batched(4)),
        )
    yield (
        "4xNxK weights on rank 3 multiplied by 4x1x1",
        partial(scaled, multiplied(4, 1, 1), rank=3, weight=batched(4)),
    )
    yield (
        "1xNxK weights on rank 2 multiplied by a scalar",
        partial(scaled, multiplied(), rank=2, weight=batched(1)),
    )
    yield "static multiplied by a scalar", partial(scaled, multiplied(), shape=[5, K])
    yield "static multiplied by 5x1", partial(scaled, multiplied(5, 1), shape=[5, K])
    yield "static multiplied by 5xN", partial(scaled, multiplied(5, N), shape=[5, K])
    yield "input multiplied", partial(scaled, op.relu, before=multiplied())
    yield "f16 multiplied by 0.125", partial(scaled, lambda y: op.multiply(y, factor(kind="f16")), kind="f16")
    yield "f16 multiplied by 3", partial(scaled, lambda y: op.multiply(y, factor(kind="f16", of=3)), kind="f16")
    yield "f16 multiplied by N", partial(scaled, lambda y: op.multiply(y, factor(N, kind="f16", of=3)), kind="f16")


SCALED: dict[str, Build] = dict(_cases())
"""Each a model of one MatMul with K=512 and N=64."""
