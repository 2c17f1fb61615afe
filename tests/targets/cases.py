"""MatMuls for tables of targets' rules: chains that exporters could write, shapes, and many models in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import openvino as ov
from openvino import opset13 as op

from tests.builders import FORMATS, WeightFormat, finish, linear_model
from tests.builders.layers import Value

K, N, GROUP = 512, 64, 128
GROUPED, PER_GROUP = (N, K // GROUP, GROUP), (N, K // GROUP, 1)
MATRIX, PER_CHANNEL = (N, K), (N, 1)

Build = Callable[[], ov.Model]


def codes(shape: Sequence[int] = GROUPED, kind: str = "u4", high: int = 7) -> Value:
    values = np.random.default_rng(len(kind)).integers(1, high, shape)
    return op.constant(values.astype(np.int32), dtype=getattr(ov.Type, kind))


def scale(shape: Sequence[int] = PER_GROUP, kind: str = "f16") -> Value:
    values = np.random.default_rng(1).uniform(0.01, 0.02, shape)
    return op.constant(values.astype(np.float32), dtype=getattr(ov.Type, kind))


def convert(x: Value, kind: str = "f16") -> Value:
    return op.convert(x, kind)


def reshape(x: Value, *shape: int) -> Value:
    return op.reshape(x, np.array(shape), special_zero=False)


def transpose(x: Value, *order: int) -> Value:
    return op.transpose(x, np.array(order or (1, 0)))


def unsqueeze(x: Value, axis: int = 0) -> Value:
    return op.unsqueeze(x, np.int64(axis))


def squeeze(x: Value) -> Value:
    return op.squeeze(x, np.int64(0))


def grouped() -> Value:
    """Codes and scales of groups, before the Reshape to a matrix."""
    return op.multiply(convert(codes()), scale())


def per_channel() -> Value:
    return op.multiply(convert(codes(MATRIX)), scale(PER_CHANNEL))


def flat(x: Value) -> Value:
    return reshape(x, N, K)


def asymmetric(zero_point: Value, of: Value | None = None, by: Value | None = None, kind: str = "f16") -> Value:
    """(codes - zero point) * scale, in groups unless told otherwise."""
    shifted = op.subtract(convert(codes() if of is None else of, kind), zero_point)
    return op.multiply(shifted, scale() if by is None else by)


def one_matmul(
    weight: Value,
    *,
    transpose_b: bool = True,
    rank: int = 3,
    shape: Sequence[int] | None = None,
    kind: str = "f32",
    transpose_a: bool = False,
    k: int = K,
) -> ov.Model:
    """x -> MatMul "linear" with a chain made here -> y; the weights get a last Convert where they need one."""
    dimensions = [-1] * (rank - 1) + [k] if shape is None else list(shape)
    x = op.parameter(dimensions, getattr(ov.Type, kind), name="x")
    x.output(0).set_names({"x"})
    output = weight if isinstance(weight, ov.Output) else weight.output(0)
    if output.element_type != getattr(ov.Type, kind):
        output = op.convert(output, kind).output(0)
    node = op.matmul(x, output, transpose_a, transpose_b)
    node.set_friendly_name("linear")
    return finish([node], [x], ["y"])


def _order_chains() -> Iterable[tuple[str, Build]]:
    """Steps in other orders, before and after the Multiply."""
    batched = (4, N, GROUP)
    yield "multiply-convert-reshape", lambda: one_matmul(flat(convert(grouped(), "f32")))
    yield "multiply-reshape-transpose-convert", lambda: one_matmul(transpose(flat(grouped())), transpose_b=False)
    yield (
        "multiply-reshape-convert-transpose",
        lambda: one_matmul(transpose(convert(flat(grouped()), "f32")), transpose_b=False),
    )
    yield "multiply-transpose-convert", lambda: one_matmul(transpose(per_channel()), transpose_b=False)
    yield (
        "multiply-transpose",
        lambda: one_matmul(
            transpose(op.multiply(convert(codes(MATRIX), "f32"), scale(PER_CHANNEL, "f32"))), transpose_b=False
        ),
    )
    yield (
        "multiply-reshape-transpose",
        lambda: one_matmul(transpose(flat(op.multiply(convert(codes(), "f32"), scale(kind="f32")))), transpose_b=False),
    )
    yield (
        "multiply-transpose-reshape",
        lambda: one_matmul(flat(transpose(op.multiply(convert(codes(batched)), scale((4, N, 1))), 1, 0, 2))),
    )
    yield "multiply-transpose-transpose", lambda: one_matmul(transpose(transpose(per_channel())))
    yield "multiply-reshape-reshape", lambda: one_matmul(flat(reshape(grouped(), 2 * N, K // 2)))
    yield "multiply-unsqueeze", lambda: one_matmul(unsqueeze(per_channel()))
    yield "multiply-squeeze", lambda: one_matmul(squeeze(op.multiply(convert(codes((1, N, K))), scale((1, N, 1)))))
    yield "multiply-unsqueeze-squeeze", lambda: one_matmul(squeeze(unsqueeze(per_channel())))
    yield "multiply-convert-convert", lambda: one_matmul(convert(per_channel(), "f32"), kind="f16")
    yield (
        "multiply-convert-transpose-convert",
        lambda: one_matmul(transpose(convert(per_channel(), "f32")), kind="f16", transpose_b=False),
    )
    yield "multiply-subtract", lambda: one_matmul(op.subtract(per_channel(), convert(codes(PER_CHANNEL))))
    yield "scale-first", lambda: one_matmul(flat(op.multiply(scale(), convert(codes()))))
    yield "convert-only", lambda: one_matmul(convert(codes(MATRIX)))
    yield "convert-subtract-only", lambda: one_matmul(op.subtract(convert(codes(MATRIX)), convert(codes(PER_CHANNEL))))


def _early_chains() -> Iterable[tuple[str, Build]]:
    """Steps between the Constant and the Multiply."""

    def scaled(x: Value) -> ov.Model:
        return one_matmul(op.multiply(x, scale(PER_CHANNEL)))

    yield "transpose-convert", lambda: scaled(convert(transpose(codes((K, N)))))
    yield "reshape-convert", lambda: scaled(convert(flat(codes())))
    yield "squeeze-convert", lambda: scaled(convert(squeeze(codes((1, N, K)))))
    yield "unsqueeze-convert", lambda: one_matmul(op.multiply(convert(unsqueeze(codes(MATRIX))), scale((1, N, 1))))
    yield "convert-transpose", lambda: scaled(transpose(convert(codes((K, N)))))
    yield "convert-reshape", lambda: scaled(flat(convert(codes())))
    yield (
        "convert-reshape-multiply-reshape",
        lambda: one_matmul(flat(op.multiply(reshape(convert(codes(MATRIX)), *GROUPED), scale()))),
    )
    yield (
        "reshape-convert-multiply-reshape",
        lambda: one_matmul(flat(op.multiply(convert(reshape(codes(MATRIX), *GROUPED)), scale()))),
    )
    yield (
        "convert-convert",
        lambda: one_matmul(op.multiply(convert(convert(codes(MATRIX)), "f32"), scale(PER_CHANNEL, "f32"))),
    )
    yield "subtract-reshape", lambda: scaled(flat(op.subtract(convert(codes()), convert(codes(PER_GROUP)))))
    yield (
        "subtract-subtract",
        lambda: one_matmul(
            flat(asymmetric(convert(codes(PER_GROUP)), op.subtract(convert(codes()), convert(codes(PER_GROUP)))))
        ),
    )


def _operand_chains() -> Iterable[tuple[str, Build]]:
    """Scales and zero points in other shapes."""

    def symmetric(by: Value) -> ov.Model:
        return one_matmul(flat(op.multiply(convert(codes()), by)))

    def shifted(zero_point: Value, by: Value | None = None, kind: str = "u4") -> ov.Model:
        return one_matmul(flat(asymmetric(zero_point, codes(kind=kind), by)))

    groups = (N, K // GROUP)
    yield "scale-reshaped", lambda: symmetric(reshape(scale(groups), *PER_GROUP))
    yield "scale-unsqueezed", lambda: symmetric(unsqueeze(scale(groups), 2))
    yield "scale-of-one-channel", lambda: symmetric(scale((1, K // GROUP, 1)))
    yield "scale-of-lower-rank", lambda: symmetric(scale((K // GROUP, 1)))
    yield "scale-scalar", lambda: symmetric(scale(()))
    yield "scale-per-column", lambda: one_matmul(op.multiply(convert(codes(MATRIX)), scale((1, K))))
    yield "scale-per-weight", lambda: one_matmul(op.multiply(convert(codes(MATRIX)), scale(MATRIX)))
    yield "zero-point-convert-reshape", lambda: shifted(reshape(convert(codes(groups)), *PER_GROUP))
    yield "zero-point-reshape-convert", lambda: shifted(convert(reshape(codes(groups), *PER_GROUP)))
    yield "zero-point-of-one-channel", lambda: shifted(convert(codes((1, K // GROUP, 1))))
    yield "zero-point-grouped-only", lambda: shifted(convert(codes(PER_GROUP)), scale((N, 1, 1)))
    yield "u8-zero-point-grouped-only", lambda: shifted(convert(codes(PER_GROUP, "u8")), scale((N, 1, 1)), "u8")
    yield "zero-point-per-channel", lambda: shifted(convert(codes((N, 1, 1))))
    yield "zero-point-grouped-scalar-scale", lambda: shifted(convert(codes(PER_GROUP)), scale(()))


def _type_chains() -> Iterable[tuple[str, Build]]:
    """Scales and zero points of other types."""

    def shifted(kind: str, zero_point: str) -> ov.Model:
        point = convert(codes(PER_CHANNEL, zero_point, 2))
        return one_matmul(asymmetric(point, codes(MATRIX, kind, 3), scale(PER_CHANNEL)))

    for zero_point in ("u8", "i8", "u4", "i4", "u2", "u1", "u3", "i16", "u16", "i32", "i64"):
        yield f"u4-zero-point-{zero_point}", partial(shifted, "u4", zero_point)
    for zero_point in ("u8", "i8", "i32"):
        for weight in ("u8", "u2", "i8"):
            yield f"{weight}-zero-point-{zero_point}", partial(shifted, weight, zero_point)

    def scaled(kind: str) -> ov.Model:
        by = scale(PER_CHANNEL, kind) if kind[0] in "fb" else codes(PER_CHANNEL, kind, 3)
        return one_matmul(op.multiply(convert(codes(MATRIX), "f32"), convert(by, "f32")))

    for kind in ("f16", "bf16", "f8e4m3", "f8e8m0", "i32", "u32", "i64", "u64", "i16", "u8", "u4", "u3"):
        yield f"scale-{kind}", partial(scaled, kind)
    yield (
        "float-zero-point-f32",
        lambda: one_matmul(asymmetric(scale(PER_CHANNEL, "f32"), codes(MATRIX), scale(PER_CHANNEL, "f32"), "f32")),
    )
    yield (
        "float-zero-point-converted",
        lambda: one_matmul(
            asymmetric(convert(scale(PER_CHANNEL), "f32"), codes(MATRIX), scale(PER_CHANNEL, "f32"), "f32")
        ),
    )
    yield (
        "bf16",
        lambda: one_matmul(op.multiply(convert(codes(MATRIX), "bf16"), scale(PER_CHANNEL, "bf16")), kind="bf16"),
    )
    yield (
        "bf16-decompression",
        lambda: one_matmul(op.multiply(convert(codes(MATRIX), "bf16"), scale(PER_CHANNEL, "bf16"))),
    )
    yield "i16-weights", lambda: one_matmul(op.multiply(convert(codes(MATRIX, "i16")), scale(PER_CHANNEL)))


def _batched_chains() -> Iterable[tuple[str, Build]]:
    """Weights of rank 3 and 4 against activations of each rank."""

    def batched(*leading: int) -> Value:
        return op.multiply(convert(codes((*leading, N, K))), scale((*leading, N, 1)))

    def asymmetric_groups() -> Value:
        shape = (4, N, K // 64)
        shifted = op.subtract(convert(codes((*shape, 64))), convert(codes((*shape, 1))))
        return reshape(op.multiply(shifted, scale((*shape, 1))), 4, N, K)

    yield "batched-asymmetric-groups", lambda: one_matmul(asymmetric_groups())
    yield "batched-static-batch", lambda: one_matmul(asymmetric_groups(), shape=[4, -1, K])
    yield "batched-static", lambda: one_matmul(batched(4), shape=[4, 70, K])
    yield (
        "batched-transposed",
        lambda: one_matmul(op.multiply(convert(codes((4, K, N))), scale((4, 1, N))), transpose_b=False),
    )

    def on_rank(rank: int, *leading: int) -> ov.Model:
        return one_matmul(batched(*leading), rank=rank)

    for rank in (2, 3, 4):
        yield f"batched-on-rank-{rank}", partial(on_rank, rank, 4)
        yield f"batch-of-one-on-rank-{rank}", partial(on_rank, rank, 1)
        yield f"rank-4-weights-on-rank-{rank}", partial(on_rank, rank, 1, 4)


def _catalogue(*sources: Callable[[], Iterable[tuple[str, Build]]]) -> dict[str, Build]:
    return {name: build for source in sources for name, build in source()}


CHAINS = _catalogue(_order_chains, _early_chains, _operand_chains, _type_chains, _batched_chains)
"""Chains beyond those of `tests.builders`: each a model of one MatMul "linear" with K=512."""


def _lengths() -> Iterable[tuple[str, Build]]:
    for k in (16, 32, 40, 48, 64, 80, 96, 112, 144, 160, 192, 480, 500, 520, 528, 544, 560, 576, 592, 1056, 1536):
        yield f"i8-k{k}", partial(linear_model, "w_i8_sym_ch", k=k)
    for k in (31, 48, 96, 500, 528):
        yield f"i4-k{k}", partial(linear_model, "w_i4_sym_ch", k=k)


def _shapes() -> Iterable[tuple[str, Build]]:
    i4, i8, u4 = "w_i4_sym_g128", "w_i8_sym_ch", "w_u4_asym_g128"
    for rank in (1, 2, 3, 4):
        yield f"rank-{rank}", partial(linear_model, i4, rank=rank)
    for rank in (2, 3, 4):
        yield f"rank-{rank}-static", partial(linear_model, i4, rank=rank, static_tokens=70)
    for tokens in (1, 64):
        yield f"static-{tokens}", partial(linear_model, i8, static_tokens=tokens)
    for n in (1, 2, 3, 8, 15, 16, 17):
        yield f"n{n}", partial(linear_model, i8, n=n)
    yield "dynamic-k", lambda: linear_model(i4, dynamic_k=True)
    yield "dynamic-k-asymmetric", lambda: linear_model(u4, dynamic_k=True)
    for fmt in (i4, i8, u4):
        yield f"bias-{fmt}", partial(linear_model, fmt, bias=True)
        yield f"transpose-a-{fmt}", partial(linear_model, fmt, transpose_a=True)
        yield f"weights-first-{fmt}", partial(linear_model, fmt, weights_on_input0=True)
    yield "weights-first-static", lambda: linear_model(i8, weights_on_input0=True, static_tokens=70)
    yield "transpose-a-rank-2", lambda: linear_model(i8, transpose_a=True, rank=2)


def _formats() -> Iterable[tuple[str, Build]]:
    for name in FORMATS:
        yield name, partial(linear_model, name)


LENGTHS = _catalogue(_lengths)
SHAPES = _catalogue(_shapes)
PLAIN = _catalogue(_formats)
"""Every format of `tests.builders` as one MatMul of K=512 and N=64."""


def weight_groups() -> dict[str, Build]:
    """Weight groups against activation groups: the format, and a K."""

    def of(kind: str, group: int | None, zero_point: str | None, k: int) -> Build:
        fmt = WeightFormat("", kind, group, zero_point)  # type: ignore[arg-type]
        return partial(linear_model, fmt, k=k)

    table = {
        "i4-g128": ("i4", 128, None, 512),
        "i4-g16": ("i4", 16, None, 512),
        "i8-channel": ("i8", None, None, 512),
        "u8-channel-zp": ("u8", None, "group", 512),
        "u4-channel-zp": ("u4", None, "group", 512),
        "u4-g128-zp": ("u4", 128, "group", 512),
        "u4-g32-zp": ("u4", 32, "group", 512),
        "u4-g16-zp": ("u4", 16, "group", 512),
        "u4-g32-scalar-zp": ("u4", 32, "scalar", 512),
        "u4-g32-channel-zp": ("u4", 32, "channel", 512),
        "u2-g128-zp": ("u2", 128, "group", 512),
        "i4-g64-k576": ("i4", 64, None, 576),
        "u4-g64-zp-k576": ("u4", 64, "group", 576),
        "u4-g48-zp-k576": ("u4", 48, "group", 576),
        "u4-g96-zp-k576": ("u4", 96, "group", 576),
        "i4-g128-k1536": ("i4", 128, None, 1536),
        "i8-k1056": ("i8", None, None, 1056),
        "i8-k480": ("i8", None, None, 480),
        "i8-k96": ("i8", None, None, 96),
    }
    return {name: of(*row) for name, row in table.items()}


def merged(models: Mapping[str, ov.Model]) -> ov.Model:
    """All models side by side in one, to be compiled at once; `linear` of model `a` becomes `a/linear`."""
    results, parameters = [], []
    for name, model in models.items():
        for node in model.get_ordered_ops():
            node.set_friendly_name(f"{name}/{node.get_friendly_name()}")
        for port in (*model.inputs, *model.outputs):
            port.set_names({f"{name}/{tensor}" for tensor in port.names})
        results += model.get_results()
        parameters += model.get_parameters()
    return ov.Model(results, parameters, "merged")
