"""Replace MatMuls with vector-quantized weights by the op that the kernels compute, and undo it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.formats.base import ChainForm
from ovpass.formats.vector_chain import VectorChain
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights
from ovpass.formats.vector_writing import read_vectors, write_vectors
from ovpass.ir.custom_op import OP_TYPE, VectorQuantizedMatMul
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.kernels.packing import Array, Parts, from_bytes, to_bytes
from ovpass.kernels.shape import KernelShape, shape_of
from ovpass.passes.editing import mark
from ovpass.passes.locate import locate
from ovpass.planning.kernel import fused, fused_shape
from ovpass.planning.recorded_plan import KERNELS
from ovpass.sites import CompressedMatMul

_SCALE_ROLE = "scale"


@dataclass(frozen=True)
class VectorKernel:
    """Replace the MatMuls of `sites`; those that share an activation and codebooks become one op and a split."""

    sites: tuple[str, ...]
    name: ClassVar[str] = "kernel"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Replace MatMuls and their decompression chains."""
        groups = fused(locate(model, self.sites))
        notes = dict(_replace(group) for group in groups)
        if notes:
            extend_note(ModelMetadata(model), KERNELS, notes)
        return {"sites": len(self.sites), "ops": len(groups)}


def restore_matmuls(graph: ov.Model, notes: Mapping[str, dict[str, Any]]) -> int:
    """Put MatMuls back in place of the ops that `VectorKernel` made; their outputs are the same bit for bit."""
    ops = [node for node in graph.get_ops() if node.get_type_name() == OP_TYPE and node.get_friendly_name() in notes]
    for node in ops:
        _restore(node, notes[node.get_friendly_name()])
    return len(ops)


def _replace(group: Sequence[CompressedMatMul]) -> tuple[str, dict[str, Any]]:
    first = group[0]
    weights = [read_vectors(site.graph, _chain(site)) for site in group]
    encoding = weights[0].vectors
    shape = fused_shape(group)
    codes = np.concatenate([each.codes for each in weights], axis=1)
    scale = np.concatenate([each.scale[:, 0] for each in weights if each.scale is not None])
    packed = op.constant(to_bytes(Parts(codes.astype(np.uint8), _as_one(weights[0].codebooks, shape), scale)))
    inputs = [first.activation, mark(packed, first.matmul, "kernel.weights").output(0)]
    node = mark(VectorQuantizedMatMul(inputs, **asdict(shape)), first.matmul, "kernel")
    outputs = _split(node, group)
    for site, output in zip(group, outputs, strict=True):
        _hand_over(site.matmul.output(0), output)
    note = {"entries": list(encoding.entries), "members": [_member(site) for site in group]}
    return node.get_friendly_name(), note


def _split(node: ov.Node, group: Sequence[CompressedMatMul]) -> list[ov.Output]:
    if len(group) == 1:
        return [node.output(0)]
    lengths = op.constant(np.array([site.n for site in group], np.int64))
    split = op.variadic_split(node.output(0), op.constant(np.int64(-1)), lengths)
    return list(mark(split, group[0].matmul, "kernel.split").outputs())


def _member(site: CompressedMatMul) -> dict[str, Any]:
    """What a MatMul and the ops before it are called."""
    chain = _chain(site)
    name = site.matmul.get_friendly_name()
    scale = site.graph.node(chain.scale).get_friendly_name()
    return {
        "site": site.name,
        "name": name,
        "rows": site.n,
        "codes": site.graph.node(chain.path[0]).get_friendly_name(),
        "steps": scale.removesuffix(_SCALE_ROLE) if scale.endswith(_SCALE_ROLE) else f"{name}/",
        "transposed": not site.matmul.get_attributes()["transpose_b"],
    }


def _restore(node: ov.Node, note: Mapping[str, Any]) -> None:
    shape = shape_of(node)
    encoding = VectorEncoding.of(shape.d, note["entries"])
    parts = from_bytes(node.input_value(1).get_node().data, shape)
    codes, scale = parts.codes.astype(np.uint16), parts.scale.astype(np.float32)
    books = tuple(
        book[None, :count].astype(np.float32) for book, count in zip(parts.codebooks, note["entries"], strict=True)
    )
    compute = node.get_output_element_type(0).to_string()
    ends = np.cumsum([member["rows"] for member in note["members"]])
    rows = [slice(end - member["rows"], end) for end, member in zip(ends, note["members"], strict=True)]
    weights = [VectorWeights(encoding, codes[:, own], scale[own, None], codebooks=books) for own in rows]
    forms = [
        ChainForm(member["codes"], member["steps"], output=compute, transposed=member["transposed"])
        for member in note["members"]
    ]
    chains = write_vectors(weights, forms)
    for member, output, chain in zip(note["members"], _outputs(node), chains, strict=True):
        matmul = op.matmul(node.input_value(0), chain, False, not member["transposed"])
        matmul.set_friendly_name(member["name"])
        _hand_over(output, matmul.output(0))


def _outputs(node: ov.Node) -> list[ov.Output]:
    """The outputs that stand for MatMuls: those of the split, where there is one."""
    name = node.get_friendly_name()
    for port in node.output(0).get_target_inputs():
        if port.get_node().get_friendly_name() == f"{name}.split":
            return list(port.get_node().outputs())
    return [node.output(0)]


def _hand_over(old: ov.Output, new: ov.Output) -> None:
    """Let all that reads `old` read `new`, which takes its tensor names."""
    names = old.get_names()
    for consumer in list(old.get_target_inputs()):
        consumer.replace_source_output(new)
    old.set_names(set())
    new.set_names(names)


def _as_one(codebooks: Sequence[Array], shape: KernelShape) -> Array:
    """Codebooks [1, entries, d] as one array f16 [books, most entries, d], filled up with zeros."""
    whole = np.zeros((shape.books, shape.entries, shape.d), np.float16)
    for book, given in zip(whole, codebooks, strict=True):
        book[: given.shape[1]] = given[0]
    return whole


def _chain(site: CompressedMatMul) -> VectorChain:
    assert isinstance(site.weights, VectorChain), f"{site.name} is not vector-quantized"
    return site.weights
