"""How many groups a scale has along K, through any Reshape and Transpose, against counting them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset13 as op

from ovpass.sites import CompressedMatMul, find_compressed_matmuls

Shape = tuple[int, ...]


@dataclass
class Drawn:
    """A chain in the making, and what becomes of the number of the scale that each weight has."""

    node: ov.Node
    scale_numbers: npt.NDArray[Any]
    steps: list[str] = field(default_factory=list)

    def transpose(self, order: tuple[int, ...]) -> None:
        self.node = op.transpose(self.node, np.array(order))
        self.scale_numbers = self.scale_numbers.transpose(order)
        self.steps.append(f"transpose{order}")

    def reshape(self, shape: Shape) -> None:
        self.node = op.reshape(self.node, np.array(shape), special_zero=False)
        self.scale_numbers = self.scale_numbers.reshape(shape)
        self.steps.append(f"reshape{shape}")

    @property
    def shape(self) -> Shape:
        return self.scale_numbers.shape

    def groups_along(self, axis: int) -> int:
        """Positions along that axis that differ in the scales they have."""
        columns = np.moveaxis(self.scale_numbers, axis, 0).reshape(self.shape[axis], -1)
        return len(np.unique(columns, axis=0))


def start(shape: Shape, scale_shape: Shape) -> Drawn:
    codes = op.constant(np.ones(shape, np.int8))
    scale = op.constant(np.full(scale_shape, 0.5, np.float32))
    numbers = np.arange(math.prod(scale_shape)).reshape(scale_shape)
    return Drawn(op.multiply(op.convert(codes, "f32"), scale), np.broadcast_to(numbers, shape))


def merge(shape: Shape, at: int) -> Shape:
    return (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])


def cut(shape: Shape, at: int, divisor: int) -> Shape:
    return (*shape[:at], shape[at] // divisor, divisor, *shape[at + 1 :])


@st.composite
def beginnings(draw: st.DrawFn) -> Drawn:
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=2, max_size=4)))
    scale_shape = tuple(draw(st.sampled_from([1, size])) for size in shape)
    first = draw(st.integers(0, len(shape) - 1))  # broadcast from a lower rank
    return start(shape, scale_shape[first:])


@st.composite
def chains(draw: st.DrawFn, cutting: bool) -> Drawn:
    """Transposes, merges of neighbours and, with `cutting`, splits; a matrix at the end."""
    drawn = draw(beginnings())
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["transpose", "merge", "cut"] if cutting else ["transpose", "merge"]))
        at = draw(st.integers(0, len(drawn.shape) - 1))
        if kind == "transpose":
            drawn.transpose(tuple(draw(st.permutations(range(len(drawn.shape))))))
        elif kind == "merge" and at + 1 < len(drawn.shape) > 2:
            drawn.reshape(merge(drawn.shape, at))
        elif kind == "cut" and len(drawn.shape) < 5:
            divisors = [d for d in range(1, drawn.shape[at] + 1) if drawn.shape[at] % d == 0]
            drawn.reshape(cut(drawn.shape, at, draw(st.sampled_from(divisors))))
    boundary = draw(st.integers(1, len(drawn.shape) - 1))
    drawn.reshape((math.prod(drawn.shape[:boundary]), math.prod(drawn.shape[boundary:])))
    return drawn


def site_of(drawn: Drawn, transpose_b: bool) -> CompressedMatMul:
    k = drawn.shape[-1 if transpose_b else -2]
    x = op.parameter([-1, k], ov.Type.f32)
    model = ov.Model([op.result(op.matmul(x, drawn.node, False, transpose_b))], [x])
    (site,) = find_compressed_matmuls(model)
    return site


@settings(max_examples=200, deadline=None)
@given(chains(cutting=False), st.booleans())
def test_merged_and_transposed_groups_are_counted(drawn: Drawn, transpose_b: bool) -> None:
    site = site_of(drawn, transpose_b)
    groups = drawn.groups_along(-1 if transpose_b else -2)
    assert site.weights.scales[0].groups == groups, drawn.steps
    assert site.weight_group_size == (None if groups == 1 else site.k // groups)


@settings(max_examples=200, deadline=None)
@given(chains(cutting=True), st.booleans())
def test_groups_are_counted_right_or_not_at_all(drawn: Drawn, transpose_b: bool) -> None:
    site = site_of(drawn, transpose_b)
    groups = site.weights.scales[0].groups
    assert groups in (None, drawn.groups_along(-1 if transpose_b else -2)), drawn.steps


@settings(max_examples=200, deadline=None)
@given(chains(cutting=True), st.booleans())
def test_axes_that_make_up_k_have_its_length(drawn: Drawn, transpose_b: bool) -> None:
    site = site_of(drawn, transpose_b)
    shape = site.graph.shape(site.weights.path[0])
    assert shape is not None
    if site.weights.k_axes:
        assert math.prod(shape[axis] for axis in site.weights.k_axes) == site.k, drawn.steps


def test_a_reshape_across_groups_hides_them() -> None:
    """[2, 3] flattened and cut as [3, 2]: no axis is what it was."""
    drawn = start((2, 3, 4), (2, 3, 1))
    drawn.reshape((3, 2, 4))
    drawn.reshape((3, 8))
    site = site_of(drawn, transpose_b=True)
    assert site.weights.scales[0].groups is None
    assert site.weight_group_size is None
