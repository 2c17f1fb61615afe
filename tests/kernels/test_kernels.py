"""The kernels compute what the decoded weights do, for any shape: C++ in this process, OpenCL on PoCL."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovpass.kernels import KernelShape, library, pack
from ovpass.kernels.native import Native
from ovpass.kernels.opencl import ENTRY, GpuVariant, kernel_source, shape_defines
from ovpass.kernels.packing import Parts, from_bytes, to_bytes
from ovpass.kernels.source import Choice
from tests.kernels.models import Array
from tests.missing import lacking

FEW, MANY = 10**6, 0
TABLES, DECODED = 1e-2, 1e-2
"""Of the norm. Tables: 1e-3 to 2e-3 for many outputs, up to 4 times as much for a single one. Decoded weights: the
activation, entries and their sum are rounded to bf16, each by 2e-3 at most."""
EXACT = 1e-5


@dataclass(frozen=True)
class Case:
    """Random weights of a shape, an activation, and the product in f32."""

    shape: KernelShape
    tokens: int
    seed: int

    def arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        """Codes, codebooks, scale, activation, product."""
        random, shape = np.random.default_rng(self.seed), self.shape
        codes = random.integers(0, shape.entries, (shape.books, shape.n, shape.k // shape.d)).astype(np.uint8)
        books = random.standard_normal((shape.books, shape.entries, shape.d)).astype(np.float16)
        scale = (random.random(shape.n) + 0.5).astype(np.float16)
        x = random.standard_normal((self.tokens, shape.k)).astype(np.float32)
        vectors = sum(book[code] for book, code in zip(books.astype(np.float32), codes, strict=True))
        weights = np.asarray(vectors).reshape(shape.n, shape.k) * scale.astype(np.float32)[:, None]
        return codes, books, scale, x, x @ weights.T


@st.composite
def cases(draw: st.DrawFn, rows: int = 1) -> Case:
    d, books = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from([1, 2, 4]))
    entries = draw(st.sampled_from([2, 16, 64, 65, 128, 200, 256]))
    k, n = d * draw(st.integers(1, 70)), rows * draw(st.integers(1, 300 // rows))
    return Case(KernelShape(k, n, d, entries, books), draw(st.integers(1, 20)), draw(st.integers(0, 99)))


@cache
def _native() -> Native:
    return Native(library())


def computed(case: Case, few_tokens: int, row_blocks: int = 4) -> tuple[Array, Array]:
    """What the C++ computes, and what it should."""
    codes, books, scale, x, expected = case.arrays()
    found = np.full(expected.shape, np.nan, np.float32)
    with _native().codebooks(case.shape, books) as ready:
        _native().multiply(Choice(row_blocks, few_tokens), case.shape, pack(codes), ready, scale, x, found)
    return found, expected


def error(found: Array, expected: Array, case: Case) -> float:
    """By the norm that products of this length have: a single product can be near zero."""
    usual = float(np.sqrt(case.shape.k * case.shape.books * expected.size))
    return float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), usual)


@settings(max_examples=30, deadline=None)
@given(cases(), st.sampled_from([2, 4, 6]))
def test_few_tokens_by_tables(case: Case, row_blocks: int) -> None:
    assert error(*computed(case, FEW, row_blocks), case) < TABLES


@settings(max_examples=30, deadline=None)
@given(cases())
def test_many_tokens_by_decoded_weights(case: Case) -> None:
    assert error(*computed(case, MANY), case) < DECODED


@pytest.mark.parametrize("few_tokens", [FEW, MANY])
def test_subnormal_halves_are_read(few_tokens: int) -> None:
    case = Case(KernelShape(64, 64, 4, 16, 1), 2, 0)
    codes, books, scale, x, _ = case.arrays()
    books, scale = (books * np.float16(1e-5)).astype(np.float16), np.full_like(scale, 1e-6)
    found = np.full((case.tokens, case.shape.n), np.nan, np.float32)
    with _native().codebooks(case.shape, books) as ready:
        _native().multiply(Choice(few_tokens=few_tokens), case.shape, pack(codes), ready, scale, x, found)
    weights = books.astype(np.float64)[0][codes[0]].reshape(case.shape.n, case.shape.k) * scale.astype(np.float64)[0]
    expected = x @ weights.T
    assert np.linalg.norm(found - expected) < TABLES * np.linalg.norm(expected)


@settings(max_examples=20, deadline=None)
@given(cases())
def test_bytes_become_weights_again(case: Case) -> None:
    codes, books, scale, *_ = case.arrays()
    packed = to_bytes(Parts(codes, books, scale))
    assert packed.size == case.shape.code_bytes + 2 * (books.size + scale.size)
    found = from_bytes(packed, case.shape)
    for one, given_ in zip((found.codes, found.codebooks, found.scale), (codes, books, scale), strict=True):
        assert np.array_equal(one, given_)


def test_results_do_not_vary() -> None:
    case = Case(KernelShape(1024, 512, 4, 256, 1), 3, 0)
    first = [computed(case, few)[0] for few in (FEW, MANY)]
    for _ in range(5):
        assert all(np.array_equal(computed(case, few)[0], one) for few, one in zip((FEW, MANY), first, strict=True))


@cache
def _pocl() -> Any:
    """A context and a queue of PoCL, which runs OpenCL on the CPU."""
    missing = "values of the OpenCL kernel need: apt-get install pocl-opencl-icd, pip install '.[dev]'"
    try:
        import pyopencl  # noqa: PLC0415 - of the extra dev

        platforms = pyopencl.get_platforms()
    except Exception as error:
        platforms, missing = [], f"{missing}: {error}"
    found = [platform for platform in platforms if platform.name == "Portable Computing Language"]
    if not found:
        lacking(missing)
    context = pyopencl.Context(found[0].get_devices()[:1])
    return pyopencl, context, pyopencl.CommandQueue(context)


VARIANTS = st.builds(
    GpuVariant,
    slices=st.sampled_from([1, 2, 4]),
    tokens=st.sampled_from([4, 8]),
    row_blocks=st.sampled_from([1, 2, 3]),
    local_bytes=st.sampled_from([0, 4 << 10, 32 << 10]),
    sub_group=st.sampled_from([0, 8, 16]),
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(cases(rows=64), st.just(GpuVariant()) | VARIANTS)
def test_the_opencl_kernel(case: Case, variant: GpuVariant) -> None:
    cl, context, queue = _pocl()
    codes, books, scale, x, expected = case.arrays()
    types = {"INPUT0_TYPE": "float", "OUTPUT0_TYPE": "float"}
    options = {**shape_defines(case.shape), **variant.defines, **types}
    program = cl.Program(context, kernel_source()).build([f"-D{name}={value}" for name, value in options.items()])
    flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
    given_ = [cl.Buffer(context, flags, hostbuf=array) for array in (x, to_bytes(Parts(codes, books, scale)))]
    found = np.full(expected.shape, np.nan, np.float32)
    output = cl.Buffer(context, cl.mem_flags.READ_WRITE, found.nbytes)
    getattr(program, ENTRY)(queue, (expected.size * variant.slices,), (variant.items,), *given_, output)
    cl.enqueue_copy(queue, found, output).wait()
    assert error(found, expected, case) < EXACT
