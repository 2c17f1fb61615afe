"""M-ANT, a type of its own for each group of weights: +-(a i + 2^i) * scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ovpass.formats.base import ChainForm, EncodedWeights, Encoding, Format
from ovpass.formats.chain import ConstantInput, WeightChain
from ovpass.formats.mant_encoding import NAME, MantWeights, integers, magnitudes, of_mant, values_by_type
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from ovpass.formats import float_types, mant_writing, scales
    from ovpass.ir.graph import Array
else:
    np, float_types = lazy_module("numpy"), lazy_module("ovpass.formats.float_types")
    scales, mant_writing = lazy_module("ovpass.formats.scales"), lazy_module("ovpass.formats.mant_writing")

_BINS = 1024
"""Steps from 0 to the largest weight of a group, by which the error of a type is tabulated."""
_CHAIN = (("Convert", 0), ("Add", 0), ("Gather", 1), ("Multiply", 0))
"""From the codes to the weights in groups: types of ops, and the input through which each is reached."""


def recognize(given: ConstantInput) -> WeightChain | None:
    """Codes that are looked up in the row of the table that their group names."""
    graph, index = given.graph, given.source
    after: list[int] = []
    while graph.types[index] in ("Convert", "Reshape"):
        after.insert(0, index)
        index = graph.inputs[index][0][0]
    path = [index]
    for op_type, port in reversed(_CHAIN):
        if graph.types[path[0]] != op_type:
            return None
        path.insert(0, graph.inputs[path[0]][port][0])
    row = graph.inputs[path[2]][1][0]  # of the Add
    if graph.types[path[0]] != "Constant" or graph.types[row] != "Multiply":
        return None
    return given.chain(NAME, (*path, *after))


def encode(weights: Array, encoding: Encoding) -> EncodedWeights:
    """Weights in the type of least squared error for each group, with a scale of max|w| / the largest value.

    Raises:
        ValueError: for codes that are not of 3 or 4 bits, a number of coefficients that the index does not hold, and
            groups that do not divide K.
    """
    groups = scales.in_groups(weights, encoding.group_size)
    types, scale = choose(groups, encoding)
    return round_to(groups, types, scale, encoding)


def decode(encoded: EncodedWeights) -> Array:
    """The weights in f32.

    Raises:
        ValueError: for weights in another format.
    """
    return scales.scaled(integers(encoded), encoded)


def write(encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """Convert, Add, Gather, Multiply, [Reshape,] [Convert].

    Raises:
        ValueError: for weights in another format.
    """
    return mant_writing.write_mant(of_mant(encoded), values_by_type(encoded.encoding), form)


def choose(
    groups: Array, encoding: Encoding, importance: Array | None = None, factors: Sequence[float] = (1.0,)
) -> tuple[Array, Array]:
    """The index of the type and the stored scale of each group [..., groups] of weights [..., groups, elements].

    They have the least sum of squared errors, times `importance` [groups, elements] if given. `factors` are the scales
    that are tried, by that with which the largest value of a type meets the largest weight.

    Raises:
        ValueError: as `encode`.
    """
    table = magnitudes(encoding)
    largest = np.abs(groups).max(axis=-1)
    # Indices of that type into a buffer that is there already: several times faster than any other way to look up.
    bins = (np.abs(groups) / _not_zero(largest)[..., None] * _BINS).clip(max=_BINS - 1).astype(np.intp)
    lost = np.empty(bins.shape, np.float32)
    least = np.full(largest.shape, np.inf, np.float32)
    types, chosen = np.zeros(largest.shape, np.uint8), np.ones(largest.shape, np.float32)
    for index, factor, errors in _candidates(table, factors):
        np.take(errors, bins, out=lost, mode="clip")
        total = lost.sum(axis=-1) if importance is None else np.einsum("...ge,ge->...g", lost, importance)
        better = total < least
        least[better], types[better], chosen[better] = total[better], index, factor
    scale, _ = scales.stored_scales(largest * chosen / table[types, -1], encoding.scale_type)
    return types, np.where(largest > 0, scale, np.float32(0))  # no type has a zero of its own


def round_to(groups: Array, types: Array, scale: Array, encoding: Encoding) -> MantWeights:
    """Weights [..., N, groups, elements] rounded to the nearest value of their group's type, ties to the even code."""
    table = magnitudes(encoding)
    values = np.abs(groups) / _not_zero(scale)[..., None]
    codes = np.empty(groups.shape, np.uint8)
    for index in np.unique(types):
        own = types == index
        codes[own] = float_types.nearest(values[own], table[index])
    codes += (groups < 0).astype(np.uint8) * np.uint8(table.shape[1])
    return MantWeights(encoding, codes.reshape(*types.shape[:-1], -1), scale, types=types)


def _not_zero(values: Array) -> Array:
    return np.where(values > 0, values, np.float32(1))


def _candidates(table: Array, factors: Sequence[float]) -> Iterator[tuple[int, float, Array]]:
    """Each type with each factor, and the squared error for each bin [bins], of weights whose largest is 1."""
    middles = (np.arange(_BINS, dtype=np.float32) + np.float32(0.5)) / np.float32(_BINS)
    for index, row in enumerate(table):
        for factor in factors:
            values = row / row[-1] * np.float32(factor)
            yield index, factor, (middles - values[float_types.nearest(middles, values)]) ** 2


MANT = Format(recognize, encode, decode, write)
