"""Find vector-quantized weights in a graph, without their values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ovpass.formats.chain import INTEGERS, Operand, WeightChain
from ovpass.formats.vector_encoding import NAME, VectorEncoding
from ovpass.ir.graph import Graph

_CODES = INTEGERS | {"u16"}
_MATRIX = 2


@dataclass(frozen=True)
class Lookup:
    """One codebook and its codes: Constants, by their indices into the Graph. `offsets` are those of ranges."""

    codes: int
    codebook: int
    offsets: int | None


@dataclass(frozen=True)
class VectorChain(WeightChain):
    """The path of vector-quantized weights, from the codes of the first codebook.

    `encoding` says what they are. `lookups` has one member a codebook. `scale`, `shift` and `permutation` are
    Constants, by their indices into the Graph.
    """

    encoding: VectorEncoding
    lookups: tuple[Lookup, ...]
    scale: int
    shift: int | None
    permutation: int | None

    @property
    def codes(self) -> tuple[int, ...]:
        """The Constants of the codes of each codebook."""
        return tuple(each.codes for each in self.lookups)

    @property
    def stored_as(self) -> str:
        """As `d=4 2x256`."""
        return self.encoding.in_words


def find_chain(graph: Graph, source: int, k_axis: int) -> VectorChain | None:
    """The chain that ends in the op `source`; None where it is another one. `k_axis` is -1 or -2."""
    path = [source]
    if _transposed(graph, path):
        k_axis = -3 - k_axis
    after_scale = _unwrap(graph, path, k_axis)
    if after_scale is None:
        return None
    scale, shift, permutation = after_scale
    gathers = _summands(graph, path)
    lookups = [found for gather in gathers if (found := _lookup(graph, gather))]
    if len(lookups) != len(gathers):
        return None
    path += _upstream(graph, gathers[0], lookups[0].codes)
    encoding = _encoding(graph, lookups, scale, k_axis)
    path.reverse()
    if encoding is None:
        return None
    step = next(i for i, index in enumerate(path) if graph.types[index] == "Multiply")
    return VectorChain(
        path=tuple(path),
        pattern=">".join(graph.types[i] for i in path[1:]),
        element_type=graph.element_type(path[0]),
        format=NAME,
        k_axes=(),
        scales=(_operand(graph, path, step, scale, encoding),),
        zero_points=(),
        encoding=encoding,
        lookups=tuple(lookups),
        scale=scale,
        shift=shift,
        permutation=permutation,
    )


def _transposed(graph: Graph, path: list[int]) -> bool:
    """Walk up Converts and a Transpose of a matrix."""
    while graph.types[path[-1]] == "Convert":
        path.append(graph.inputs[path[-1]][0][0])
    if graph.types[path[-1]] != "Transpose" or len(graph.shape(path[-1]) or ()) != _MATRIX:
        return False
    data, order = (producer for producer, _ in graph.inputs[path[-1]])
    if graph.types[order] != "Constant" or graph.integers(order) != [1, 0]:
        return False
    path.append(data)
    return True


def _unwrap(graph: Graph, path: list[int], k_axis: int) -> tuple[int, int | None, int | None] | None:
    """Walk up to the sum of look-ups, the last of `path` then; the scale, shift and permutation on the way."""
    scale = shift = permutation = None
    while graph.types[path[-1]] in ("Convert", "Reshape", "Multiply", "Add", "Gather"):
        index = path[-1]
        kind, shape = graph.types[index], graph.shape(index)
        sources = [producer for producer, _ in graph.inputs[index]]
        if shape is None or (scale is not None and len(shape) == _MATRIX + 1 and kind in ("Gather", "Add")):
            break
        if kind == "Gather":
            if scale is not None or permutation is not None or not _takes_axis(graph, index, (k_axis, k_axis + 2)):
                return None
            permutation, onward = _constant(graph, sources[1]), sources[0]
            if permutation is None:
                return None
        elif kind in ("Multiply", "Add"):
            parameter, onward = _parameter(graph, sources)
            if parameter is None or scale is not None or (shift is not None and kind == "Add"):
                return None
            scale, shift = (parameter, shift) if kind == "Multiply" else (None, parameter)
        else:
            onward = sources[0]
        path.append(onward)
    return None if scale is None else (scale, shift, permutation)


def _parameter(graph: Graph, sources: list[int]) -> tuple[int | None, int]:
    """The Constant of a scale or shift, and the other operand."""
    for port in (1, 0):
        if (constant := _constant(graph, sources[port])) is not None:
            return constant, sources[1 - port]
    return None, sources[0]


def _summands(graph: Graph, path: list[int]) -> list[int]:
    """The Gathers that are added up, the first first; `path` goes on to the first of them."""
    gathers: list[int] = []
    while graph.types[path[-1]] == "Add":
        rest, last = (producer for producer, _ in graph.inputs[path[-1]])
        gathers.insert(0, last)
        path.append(rest)
    return [path[-1], *gathers]


def _lookup(graph: Graph, gather: int) -> Lookup | None:
    if graph.types[gather] != "Gather":
        return None
    table, indices, _ = (producer for producer, _ in graph.inputs[gather])
    offsets = None
    if graph.types[indices] == "Add":
        indices, added = (producer for producer, _ in graph.inputs[indices])
        offsets = _constant(graph, added)
    codes, codebook = _constant(graph, indices), _constant(graph, table)
    if codes is None or codebook is None or graph.element_type(codes) not in _CODES:
        return None
    if not _takes_axis(graph, gather, (0,)):
        return None
    ranks = {len(graph.shape(codes) or ()), len(graph.shape(codebook) or ())}
    return Lookup(codes, codebook, offsets) if ranks == {_MATRIX} else None


def _takes_axis(graph: Graph, gather: int, axes: tuple[int, ...]) -> bool:
    axis = graph.inputs[gather][2][0]
    return graph.types[axis] == "Constant" and graph.integers(axis)[0] in axes


def _constant(graph: Graph, index: int) -> int | None:
    """The Constant at `index` or behind Converts there."""
    while graph.types[index] == "Convert":
        index = graph.inputs[index][0][0]
    return index if graph.types[index] == "Constant" else None


def _upstream(graph: Graph, gather: int, codes: int) -> Iterator[int]:
    """The ops between a Gather and its codes, and these."""
    index = graph.inputs[gather][1][0]
    while index != codes:
        yield index
        index = graph.inputs[index][0][0]
    yield codes


def _encoding(graph: Graph, lookups: list[Lookup], scale: int, k_axis: int) -> VectorEncoding | None:
    """What the shapes of the Constants say; None where they do not fit each other."""
    rows, vectors = graph.shape(lookups[0].codes) or (0, 0)
    lengths = {(graph.shape(each.codebook) or (0, 0))[1] for each in lookups}
    shapes = {graph.shape(each.codes) for each in lookups}
    if len(lengths) != 1 or len(shapes) != 1:
        return None
    length = lengths.pop()
    ranges = 1 if lookups[0].offsets is None else len(set(graph.integers(lookups[0].offsets)))
    entries = [(graph.shape(each.codebook) or (0, 0))[0] // ranges for each in lookups]
    groups, rest = divmod(math.prod(graph.shape(scale) or ()), max(rows, 1))
    if rest or groups < 1:
        return None
    try:
        return VectorEncoding.of(
            length,
            entries,
            ranges=ranges,
            along="k" if k_axis == -1 else "n",
            group_size=vectors * length // groups if groups > 1 else None,
        )
    except ValueError:
        return None


def _operand(graph: Graph, path: list[int], step: int, scale: int, encoding: VectorEncoding) -> Operand:
    """The scale as the formats of scalars describe it."""
    sources = [producer for producer, _ in graph.inputs[path[step]]]
    port = 1 - sources.index(path[step - 1])
    shape = graph.shape(sources[port]) or ()
    rows = (graph.shape(path[0]) or (1,))[0]
    groups = math.prod(shape) // rows if encoding.along == "k" else rows
    return Operand(step, port, graph.element_type(scale), integer=False, groups=groups, shape=shape, direct=True)
