"""Find every MatMul with compressed weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ovpass.formats import FORMATS, recognize
from ovpass.formats.chain import WeightChain
from ovpass.formats.codebook import NAME as CODEBOOK
from ovpass.ir.graph import Graph, Shape
from ovpass.sites.canonical import CanonicalGraph, canonical
from ovpass.sites.inserted_ops import without_inserted
from ovpass.sites.kinds import OTHER, Role, roles
from ovpass.sites.model_holder import ModelHolder, held_model
from ovpass.sites.onnx_runtime import NonCanonical
from ovpass.sites.static_quantization import static_path
from ovpass.sites.structures import fused_experts, has_linear_attention
from ovpass.support.garbage import collection_paused
from ovpass.support.shown import Shown

if TYPE_CHECKING:
    import openvino as ov

_FLOATS = ("f16", "bf16", "f32", "f64")
_UNKNOWN = Role(OTHER, None)
_WITH_BODIES = ("If", "Loop", "TensorIterator")


@dataclass(frozen=True)
class CompressedMatMul:
    """A site: a MatMul that reads low-precision weights through a decompression chain.

    `k` is the reduction length and `n` the number of output features (elements). `weight_group_size` is the
    number of elements of K that share one scale, None for one scale per channel or for the whole tensor;
    `zero_point_group_size` is the same for the zero point. `zero_point` is None, "integer" (an integer Constant
    with a Convert) or "float" (stored in floating point). `activation_shape` has -1 for dynamic dimensions and is None
    if even the rank is dynamic.
    `transposed_activation`: K is the second-last axis of the activation. `precise`: the MatMul is marked for f32
    compute. `weights_shared`: another site reads the same weights. `of_experts`: the site is one of the stacked experts
    that a router selects. `linear_attention`: the model has linear attention with a gated delta rule.
    Sites with the same `group_id` read the same activation.
    `noncanonical` is set if the site is not in OpenVINO's own compressed form. All other fields describe that form, to
    which a pass rewrites it.
    """

    name: str
    kind: str
    layer: int | None
    k: int
    n: int
    weight_type: str
    weight_group_size: int | None
    symmetric: bool
    zero_point: str | None
    zero_point_group_size: int | None
    codebook: bool
    chain: str
    weight_rank: int
    weights_input: int
    activation_shape: Shape | None
    compute_type: str
    precise: bool
    weights_shared: bool
    transposed_activation: bool
    group_id: str
    graph: Graph = field(compare=False, repr=False)
    index: int = field(compare=False, repr=False)
    weights: WeightChain = field(compare=False, repr=False)
    noncanonical: NonCanonical | None = field(default=None, compare=False, repr=False)
    of_experts: bool = False
    linear_attention: bool = False

    @property
    def format(self) -> str:
        """The number format of the weights, a key of FORMATS."""
        return self.weights.format

    @property
    def affine(self) -> bool:
        """Whether a weight is (code - zero point) * scale: then `weight_type` says what the codes stand for."""
        return FORMATS[self.format].affine

    @property
    def stored_as(self) -> str:
        """The format in words: how a weight is stored, after the name of a format that does not follow from it."""
        return self.weight_type if self.affine else f"{self.format} {self.weights.stored_as}"

    @property
    def matmul(self) -> ov.Node:
        """The MatMul in the searched model."""
        return self.graph.node(self.index)

    @property
    def in_body(self) -> bool:
        """Whether the site is in a body of If, Loop or TensorIterator. Its name is then the path to it."""
        return re.fullmatch(re.escape(self.graph.name(self.index)) + r"(#\d+)*", self.name) is None

    @property
    def of_integers(self) -> bool:
        """Whether the graph quantizes the activation and multiplies integers, which no plugin has a kernel for."""
        return self.noncanonical is not None and self.noncanonical.of_integers

    @property
    def static_path(self) -> tuple[int, ...]:
        """The ops from the FakeQuantize that statically quantizes the activation to the MatMul; empty without one."""
        producer, _ = self.graph.inputs[self.index][1 - self.weights_input]
        return static_path(self.graph, producer, self.weights) if self.weights_input else ()

    @property
    def activation_rank(self) -> int | None:
        """The rank of the activation; None if dynamic."""
        return None if self.activation_shape is None else len(self.activation_shape)

    @property
    def activation_static(self) -> bool:
        """Whether all dimensions of the activation are static."""
        return self.activation_shape is not None and -1 not in self.activation_shape

    @property
    def activation(self) -> ov.Output:
        """The output that the MatMul reads as its activation; for a non-canonical site, after the rewrite."""
        if self.noncanonical is not None:
            producer, output = self.noncanonical.source
            return self.noncanonical.graph.node(producer).output(output)
        return self.matmul.input_value(1 - self.weights_input)

    def activation_axis(self, axis: int) -> int:
        """Convert an axis as the MatMul reads it (-1 is K) to the axis of the activation in memory.

        Both axes count from the end. The rank of the activation must be static.
        """
        axis = axis - (self.activation_rank or 0) if axis >= 0 else axis
        if self.transposed_activation and axis in (-1, -2):
            return -3 - axis
        return axis

    def axis_length(self, axis: int) -> int | None:
        """Elements along an axis of the activation; None if dynamic."""
        if axis in (-1, (self.activation_rank or 0) - 1):
            return self.k  # the graph can leave it dynamic; the weights say it
        length = (self.activation_shape or ())[self.activation_axis(axis)]
        return None if length == -1 else length

    @property
    def macs(self) -> int:
        """Multiply-accumulates per token."""
        return self.k * self.n


class Sites(Shown, list[CompressedMatMul]):
    """The sites of one model."""


def find_compressed_matmuls(model: ov.Model | ModelHolder) -> Sites:
    """Find all sites of `model` in topological order, including bodies of If, Loop and TensorIterator.

    A model of optimum-intel is taken for the graph that it holds.

    The name of a site in a body is the path to it, `if_3/then_body/MatMul_7`. Repeated names get the suffixes `#2`,
    `#3` and so on.

    Raises:
        ModelError: if `model` is something else.
    """
    from ovpass.ir.model_graph import ModelGraph  # noqa: PLC0415 - sites of files are found without OpenVINO

    return Sites(find_sites(ModelGraph(held_model(model))))


@collection_paused()
def find_sites(graph: Graph, only: Collection[str] | None = None) -> list[CompressedMatMul]:
    """`find_compressed_matmuls` for a model in any form; with `only`, no other names than these are looked into.

    Whether weights are shared is then told among those sites alone, and kinds and blocks are not told at all.
    """
    names = None if only is None else {_unnumbered(name) for name in only}
    found: list[CompressedMatMul] = []
    taken: set[str] = set()
    counts: Counter[str] = Counter()
    hybrid = has_linear_attention(graph)
    for site in _search(graph, "", names):
        name = site.name
        while name in taken:  # one that ends in #2 by itself, too
            counts[site.name] += 1
            name = f"{site.name}#{counts[site.name] + 1}"
        taken.add(name)
        renamed = name != site.name or hybrid
        found.append(replace(site, name=name, linear_attention=hybrid) if renamed else site)
    return found


def _unnumbered(name: str) -> str:
    """What sites that number each other have in common."""
    return re.sub(r"(#\d+)+$", "", name)


def _search(graph: Graph, prefix: str, names: Collection[str] | None) -> Iterator[CompressedMatMul]:
    graph = canonical(graph)
    candidates = [i for i, kind in enumerate(graph.types) if kind == "MatMul"]
    if names is not None:
        candidates = [i for i in candidates if _unnumbered(prefix + graph.name(i)) in names]
    weights = {i: _weights(graph, i) for i in candidates}
    matmuls = {i: found for i, found in weights.items() if found is not None}
    by_index = roles(without_inserted(graph)) if matmuls and names is None else {}
    experts = fused_experts(graph) if matmuls else set()
    readers = Counter(chain.path[0] for _, chain in matmuls.values())
    for index, kind in enumerate(graph.types):
        if index in matmuls:
            port, chain = matmuls[index]
            shared = readers[chain.path[0]] > 1
            yield _site(graph, index, port, chain, by_index.get(index, _UNKNOWN), prefix, shared, index in experts)
        elif kind in _WITH_BODIES:
            for name, body in graph.bodies(index):
                yield from _search(body, f"{prefix}{graph.name(index)}/{name}/", names)


def _weights(graph: Graph, index: int) -> tuple[int, WeightChain] | None:
    """The input that carries compressed weights, and their chain; None for any other MatMul."""
    if graph.element_type(index) not in _FLOATS:
        return None  # products of integers other than those of a dynamically quantized MatMul
    for port in (1, 0):
        source, output = graph.inputs[index][port]
        if not graph.constant[source] or graph.constant[graph.inputs[index][1 - port][0]]:
            continue
        chain = recognize(graph, source, _k_axis(graph, index, port))
        shape = graph.shape(source, output)
        if chain is not None and shape and len(shape) > 1 and min(shape) > 0:
            return port, chain
    return None


def _k_axis(graph: Graph, index: int, port: int) -> int:
    """The axis of an input that is summed over: weights are [.., N, K] with transpose_b, [.., K, N] without."""
    return -1 if graph.transposed(index, port) == bool(port) else -2


def _site(
    graph: Graph,
    index: int,
    port: int,
    chain: WeightChain,
    role: Role,
    prefix: str,
    shared: bool,
    of_experts: bool,
) -> CompressedMatMul:
    shape = graph.shape(*graph.inputs[index][port]) or ()
    k_axis = _k_axis(graph, index, port)
    k, n = shape[k_axis], shape[-3 - k_axis]
    producer, output = graph.inputs[index][1 - port]
    activation = graph.shape(producer, output)
    return CompressedMatMul(
        name=prefix + graph.name(index),
        kind=role.kind,
        layer=role.layer,
        k=k,
        n=n,
        weight_type=chain.element_type,
        weight_group_size=_group_size(k, [scale.groups for scale in chain.scales]),
        symmetric=not chain.zero_points,
        zero_point=_zero_point(chain),
        zero_point_group_size=_group_size(k, [z.groups for z in chain.zero_points]),
        codebook=chain.format == CODEBOOK,
        chain=chain.pattern,
        weight_rank=len(shape),
        weights_input=port,
        activation_shape=activation,
        compute_type=graph.element_type(index),
        precise=graph.precise(index),
        weights_shared=shared,
        transposed_activation=_k_axis(graph, index, 1 - port) == -2,
        group_id=f"{prefix}{graph.name(producer)}" + (f":{output}" if output else ""),
        graph=graph,
        index=index,
        weights=chain,
        of_experts=of_experts,
        noncanonical=graph.noncanonical.get(index) if isinstance(graph, CanonicalGraph) else None,
    )


def _zero_point(chain: WeightChain) -> str | None:
    if not chain.zero_points:
        return None
    return "integer" if all(zero_point.integer for zero_point in chain.zero_points) else "float"


def _group_size(k: int, groups: list[int | None]) -> int | None:
    """Elements of K under one constant; None for one group."""
    most = max((g for g in groups if g), default=1)
    return k // most if most > 1 else None
