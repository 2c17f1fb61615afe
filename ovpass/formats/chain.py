"""The decompression chain between a low-precision Constant and the MatMul that reads it.

Known chains: NNCF 3.4 (Convert, Subtract, Multiply, Reshape, Convert), the GGUF reader of OpenVINO GenAI (the
same), optimum-intel (the same, or a Transpose at the end), the ONNX frontend for MatMulNBits and blocked
DequantizeLinear (no f16 in between, Reshape or Unsqueeze on the operands), and NNCF's codebooks (a Gather that
looks the codes up in a small table).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ovpass.ir.graph import Graph

INTEGERS = frozenset("u1 u2 u3 u4 u6 u8 i2 i4 i8".split())
FLOATS = frozenset("nf4 f4e2m1 f8e4m3 f8e5m2".split())
LOW_PRECISION = INTEGERS | FLOATS
"""Element types of compressed weights."""
_INTEGER = INTEGERS | frozenset("u16 u32 u64 i16 i32 i64".split())
_SHAPE_ONLY = frozenset({"Convert", "Reshape", "Squeeze", "Unsqueeze", "Transpose"})
_ARITHMETIC = frozenset({"Multiply", "Subtract"})


@dataclass(frozen=True)
class Operand:
    """A constant that a step of the chain applies: a scale (Multiply) or a zero point (Subtract)."""

    step: int
    port: int
    element_type: str  # as stored
    integer: bool
    groups: int | None  # along K; None where a Reshape hides how many
    shape: tuple[int, ...]
    direct: bool  # a Constant, or one behind a Convert


@dataclass(frozen=True)
class WeightChain:
    """The path from a low-precision Constant to a MatMul: indices into the Graph, the Constant first."""

    path: tuple[int, ...]
    pattern: str  # op types after the Constant, for example "Convert>Multiply>Reshape>Convert"
    element_type: str
    format: str  # a key of FORMATS
    k_axes: tuple[int, ...]  # axes of the Constant that make up K; empty where a Reshape hides them
    scales: tuple[Operand, ...]
    zero_points: tuple[Operand, ...]

    @property
    def codes(self) -> tuple[int, ...]:
        """The Constants of codes, by their indices into the Graph."""
        return self.path[:1]

    @property
    def stored_as(self) -> str:
        """How a weight is stored, in words."""
        return self.element_type


@dataclass(frozen=True)
class ConstantInput:
    """A constant input of a MatMul: the op `source`.

    `k_axis` is the axis that the MatMul sums over, as it reads the weights (negative).
    """

    graph: Graph
    source: int
    k_axis: int

    @cached_property
    def path(self) -> tuple[int, ...]:
        """Indices from a low-precision Constant to `source`, empty where `source` is no scalar decompression of one."""
        return tuple(_path(self.graph, self.source) or ())

    @cached_property
    def op_types(self) -> tuple[str, ...]:
        """The types of the ops of `path`."""
        return tuple(self.graph.types[i] for i in self.path)

    @property
    def element_type(self) -> str | None:
        """The type of the Constant at which `path` begins."""
        return self.graph.element_type(self.path[0]) if self.path else None

    def chain(self, name: str, path: tuple[int, ...] | None = None) -> WeightChain:
        """The chain of the format of that name, along `path` unless another one is given."""
        path = self.path if path is None else path
        layout = _Layout(self.graph, path, self.k_axis)
        return WeightChain(
            path=path,
            pattern=">".join(self.graph.types[i] for i in path[1:]),
            element_type=self.graph.element_type(path[0]),
            format=name,
            k_axes=layout.k_axes(),
            scales=tuple(layout.operands("Multiply")),
            zero_points=tuple(layout.operands("Subtract")),
        )


def _path(graph: Graph, index: int) -> list[int] | None:
    """Indices from the packed Constant to `index`."""
    kind = graph.types[index]
    sources = [producer for producer, _ in graph.inputs[index]]
    if kind == "Constant":
        return [index] if graph.element_type(index) in LOW_PRECISION else None
    if kind in _SHAPE_ONLY or kind == "Subtract":
        sources = sources[:1]
    elif kind == "Gather":
        sources = sources[1:2]  # the codes; the table they index is input 0
    elif kind != "Multiply":
        return None
    traced = [path for source in sources if (path := _path(graph, source)) is not None]
    if not traced:
        return None
    # A scale can be low precision itself (mxfp4, nvfp4): the weights are the larger of the two.
    return [*max(traced, key=lambda path: math.prod(_shape(graph, path[0]))), index]


def _shape(graph: Graph, index: int) -> tuple[int, ...]:
    return graph.shape(index) or ()


class _Layout:
    """Follows the Constant's axes through the chain, to tell how many groups an operand has along K.

    Every axis of the Constant starts as one atom; a Reshape concatenates or splits atoms, a Transpose permutes
    them. An operand varies over an atom where its own dimension there is not 1. The number of groups along K is
    the product of the varying atoms in the axis that the MatMul sums over.
    """

    def __init__(self, graph: Graph, path: Sequence[int], k_axis: int) -> None:
        self._graph = graph
        self._path = path
        self._sizes: list[int] = list(_shape(graph, path[0]))
        self._known = True
        self._varying: list[set[int]] = []
        self._steps: list[int] = []
        axes = [[atom] for atom in range(len(self._sizes))]
        for step, index in enumerate(path[1:], start=1):
            kind = graph.types[index]
            if kind == "Transpose" and self._known:
                axes = [axes[i] for i in graph.integers(graph.inputs[index][1][0])]
            elif kind in _ARITHMETIC:
                self._steps.append(step)
                self._varying.append(self._varies(axes, self._operand(step)))
            if self._known:
                axes = self._regroup(axes, _shape(graph, index))
        self._k_atoms = set(axes[k_axis]) if len(axes) >= -k_axis else set()

    def k_axes(self) -> tuple[int, ...]:
        """The axes of the Constant that K consists of."""
        own = range(len(_shape(self._graph, self._path[0])))
        whole = self._known and all(self._sizes[a] == _shape(self._graph, self._path[0])[a] for a in own)
        return tuple(sorted(self._k_atoms)) if whole and self._k_atoms <= set(own) else ()

    def operands(self, kind: str) -> list[Operand]:
        found = []
        for step, varying in zip(self._steps, self._varying, strict=True):
            if self._graph.types[self._path[step]] != kind:
                continue
            port = self._operand_port(step)
            stored = self._stored(self._operand(step))
            groups = math.prod(self._sizes[atom] for atom in varying & self._k_atoms)
            shape = _shape(self._graph, self._operand(step))
            known = groups if self._known else None
            direct = self._is_direct(self._operand(step))
            found.append(Operand(step, port, stored, stored in _INTEGER, known, shape, direct))
        return found

    def _operand_port(self, step: int) -> int:
        sources = [producer for producer, _ in self._graph.inputs[self._path[step]]]
        return 1 - sources.index(self._path[step - 1])

    def _operand(self, step: int) -> int:
        return self._graph.inputs[self._path[step]][self._operand_port(step)][0]

    def _stored(self, index: int) -> str:
        """The element type in which an operand lies in the file, Converts and Reshapes undone."""
        while self._graph.types[index] in _SHAPE_ONLY:
            index = self._graph.inputs[index][0][0]
        return self._graph.element_type(index)

    def _is_direct(self, index: int) -> bool:
        while self._graph.types[index] == "Convert":
            index = self._graph.inputs[index][0][0]
        return self._graph.types[index] == "Constant"

    def _varies(self, axes: list[list[int]], operand: int) -> set[int]:
        shape = _shape(self._graph, operand)
        if len(shape) > len(axes):
            self._known = False
            return set()
        aligned = axes[len(axes) - len(shape) :]
        return {atom for axis, size in zip(aligned, shape, strict=True) if size != 1 for atom in axis}

    def _regroup(self, axes: list[list[int]], shape: tuple[int, ...]) -> list[list[int]]:
        """Distribute the atoms, in memory order, over the dimensions of `shape`, splitting where needed."""
        atoms = [atom for axis in axes for atom in axis]
        regrouped: list[list[int]] = []
        if min(shape, default=1) < 1:
            self._known = False
            return axes
        for size in shape:
            taken: list[int] = []
            while math.prod(self._sizes[a] for a in taken) < size and atoms:
                taken.append(atoms.pop(0))
            excess, ragged = divmod(math.prod(self._sizes[a] for a in taken), size)
            if ragged or (excess > 1 and self._sizes[taken[-1]] % excess):
                self._known = False
                return axes
            if excess > 1:
                atoms.insert(0, self._split(taken[-1], excess))
            regrouped.append(taken)
        return regrouped

    def _split(self, atom: int, inner: int) -> int:
        """Cut `inner` off the fast end of an atom; the new atom varies wherever the old one did."""
        self._sizes[atom] //= inner
        self._sizes.append(inner)
        for varying in self._varying:
            if atom in varying:
                varying.add(len(self._sizes) - 1)
        return len(self._sizes) - 1
