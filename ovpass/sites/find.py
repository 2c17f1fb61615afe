"""Find every MatMul whose weights are compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import openvino as ov

from ovpass.sites.graph import Graph, bodies
from ovpass.sites.kinds import Role, roles
from ovpass.sites.weights import WeightChain, trace

PRECISE = "DisablePrecisionConversion"
"""How the runtime info key begins under which OpenVINO keeps the IR's `precise` attribute."""


@dataclass(frozen=True)
class CompressedMatMul:
    """A site: a MatMul that reads low-precision weights through a decompression chain.

    `k` is the reduction length and `n` the number of output features (elements). `weight_group_size` is the
    number of elements of K that share one scale, None for one scale a channel or for the whole tensor;
    `zero_point_group_size` is the same for the zero point. `zero_point` is None, "integer" (an integer Constant
    with a Convert) or "float" (stored in floating point). `activation_rank` is None where it is dynamic.
    `transposed_activation` tells that K is the last axis but one of the activation. `precise` marks f32 compute.
    `weights_shared` tells that another site reads the same weights.
    Sites with one `group_id` read the same activation.
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
    activation_rank: int | None
    activation_static: bool
    compute_type: str
    precise: bool
    weights_shared: bool
    transposed_activation: bool
    group_id: str
    graph: Graph = field(compare=False, repr=False)
    index: int = field(compare=False, repr=False)
    weights: WeightChain = field(compare=False, repr=False)

    @property
    def matmul(self) -> ov.Node:
        """The MatMul itself, in the model that was searched."""
        return self.graph.ops[self.index]

    @property
    def activation(self) -> ov.Output:
        """The output that the MatMul reads as its data."""
        return self.matmul.input_value(1 - self.weights_input)

    def activation_axis(self, axis: int) -> int:
        """The axis of the activation as it lies in memory, for an axis as the MatMul reads it (-1 is K).

        Both count from the end; the rank of the activation must be static.
        """
        axis = axis - (self.activation_rank or 0) if axis >= 0 else axis
        if self.transposed_activation and axis in (-1, -2):
            return -3 - axis
        return axis

    def axis_length(self, axis: int) -> int | None:
        """Elements along that axis of the activation; None where they are only known at run time."""
        if axis in (-1, (self.activation_rank or 0) - 1):
            return self.k  # the graph can leave it dynamic; the weights say it
        dimension = self.activation.get_partial_shape()[self.activation_axis(axis)]
        return int(dimension.get_length()) if dimension.is_static else None

    @property
    def macs(self) -> int:
        """Multiply-accumulates a token."""
        return self.k * self.n


def find_compressed_matmuls(model: ov.Model) -> list[CompressedMatMul]:
    """All sites of `model` in topological order, bodies of If, Loop and TensorIterator included.

    A site in a body is named by the path to it, `if_3/then_body/MatMul_7`; where a name repeats, `#2`, `#3` and
    so on are appended.
    """
    found: list[CompressedMatMul] = []
    seen: dict[str, int] = {}
    for site in _search(model, ""):
        count = seen[site.name] = seen.get(site.name, 0) + 1
        found.append(site if count == 1 else replace(site, name=f"{site.name}#{count}"))
    return found


def _search(model: ov.Model, prefix: str) -> Iterator[CompressedMatMul]:
    graph = Graph.of(model)
    weights = {i: _weights(graph, i) for i, kind in enumerate(graph.types) if kind == "MatMul"}
    matmuls = {i: found for i, found in weights.items() if found is not None}
    by_index = roles(graph) if matmuls else {}
    readers = Counter(chain.path[0] for _, chain in matmuls.values())
    for index, op in enumerate(graph.ops):
        if index in matmuls:
            port, chain = matmuls[index]
            site = _site(graph, index, port, chain, by_index[index], prefix)
            yield replace(site, weights_shared=True) if readers[chain.path[0]] > 1 else site
        for body_name, body in bodies(op):
            yield from _search(body, f"{prefix}{op.get_friendly_name()}/{body_name}/")


def _weights(graph: Graph, index: int) -> tuple[int, WeightChain] | None:
    """The input that carries compressed weights, and their chain; None for any other MatMul."""
    op = graph.ops[index]
    if not op.get_output_element_type(0).is_real():
        return None  # integer products (ONNX MatMulInteger) have no decompression to speak of
    attributes = op.get_attributes()
    for port in (1, 0):
        source, _ = graph.inputs[index][port]
        if not graph.constant[source] or graph.constant[graph.inputs[index][1 - port][0]]:
            continue
        transposed = attributes["transpose_b" if port else "transpose_a"]
        # [.., N, K] with transpose_b and [.., K, N] without; the other way round on input 0.
        k_axis = -1 if transposed == bool(port) else -2
        chain = trace(graph, source, k_axis)
        shape = op.input_value(port).get_partial_shape()
        if chain is not None and shape.is_static and len(shape) > 1:
            return port, chain
    return None


def _site(graph: Graph, index: int, port: int, chain: WeightChain, role: Role, prefix: str) -> CompressedMatMul:
    op = graph.ops[index]
    shape = list(op.input_value(port).get_shape())
    transposed = op.get_attributes()["transpose_b" if port else "transpose_a"]
    k_axis = -1 if transposed == bool(port) else -2
    k, n = shape[k_axis], shape[-3 - k_axis]
    data = op.input_value(1 - port)
    rank = data.get_partial_shape().rank
    source = data.get_node().get_friendly_name()
    zero_point = None
    if chain.zero_points:
        zero_point = "integer" if all(z.integer for z in chain.zero_points) else "float"
    return CompressedMatMul(
        name=prefix + op.get_friendly_name(),
        kind=role.kind,
        layer=role.layer,
        k=k,
        n=n,
        weight_type=chain.element_type,
        weight_group_size=_group_size(k, [scale.groups for scale in chain.scales]),
        symmetric=not chain.zero_points,
        zero_point=zero_point,
        zero_point_group_size=_group_size(k, [z.groups for z in chain.zero_points]),
        codebook=chain.codebook,
        chain=chain.pattern,
        weight_rank=len(shape),
        weights_input=port,
        activation_rank=rank.get_length() if rank.is_static else None,
        activation_static=data.get_partial_shape().is_static,
        compute_type=op.get_output_element_type(0).to_string(),
        precise=any(key.startswith(PRECISE) for key in op.get_rt_info()),
        weights_shared=False,
        transposed_activation=op.get_attributes()["transpose_a" if port else "transpose_b"] == bool(port),
        group_id=f"{prefix}{source}" + (f":{data.get_index()}" if data.get_index() else ""),
        graph=graph,
        index=index,
        weights=chain,
    )


def _group_size(k: int, groups: list[int | None]) -> int | None:
    """Elements of K under one constant; None for one group."""
    most = max((g for g in groups if g), default=1)
    return k // most if most > 1 else None
