"""Verify kernels of ours on the CPU: the plugin runs our op, and its numbers are those of the decoded weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.errors import VerifyError
from ovpass.ir.custom_op import OP_TYPE
from ovpass.ir.files import IrFile
from ovpass.kernels.loading import core_for
from ovpass.kernels.packing import from_bytes
from ovpass.kernels.shape import shape_of
from ovpass.support.formatting import last_line
from ovpass.verification.report import KERNEL

_TOKENS = (1, 16)
"""Few tokens are computed by tables, many by decoded weights."""
_TOLERANCE = 1e-2
"""Of the norm: 2e-3 with sums in 16 bits, 3e-3 with weights in bf16 (measured)."""
_REFERENCE = "Reference"

Array = npt.NDArray[Any]


def kernels_on_cpu(
    ir: IrFile, replaced: Mapping[str, Sequence[str]], properties: Mapping[str, str]
) -> dict[str, int | None]:
    """KERNEL for each site whose op runs on our kernel with the right numbers, None for the others.

    `replaced` are the sites of each op, by its name.

    Raises:
        KernelError: without a library.
        VerifyError: if OpenVINO refuses the model.
    """
    core = core_for("CPU")
    try:
        model = core.read_model(ir.xml)
        nodes = [node for node in model.get_ops() if node.get_type_name() == OP_TYPE]
        compiled = core.compile_model(_cut_out(nodes), "CPU", dict(properties))
    except RuntimeError as error:
        raise VerifyError(f"{ir.xml}: {last_line(error)}") from error
    ours = _run_as_reference(compiled)
    agree = _agreement(compiled, nodes)
    right = {node.get_friendly_name() for node, agrees in zip(nodes, agree, strict=True) if agrees}
    return {
        site: KERNEL if name in ours and name in right else None for name, sites in replaced.items() for site in sites
    }


def _cut_out(nodes: Sequence[ov.Node]) -> ov.Model:
    """A model of the ops alone, each with an input of its own."""
    inputs = [op.parameter([-1, shape_of(node).k], np.float32) for node in nodes]
    for node, parameter in zip(nodes, inputs, strict=True):
        node.input(0).replace_source_output(parameter.output(0))
    return ov.Model([op.result(node.output(0)) for node in nodes], inputs, "kernels")


def _run_as_reference(compiled: ov.CompiledModel) -> set[str]:
    """The nodes that the plugin runs by an extension's code."""
    infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    texts = [{key: str(getattr(value, "value", value)) for key, value in info.items()} for info in infos]
    return {
        name for text in texts if text["layerType"] == _REFERENCE for name in text["originalLayersNames"].split(",")
    }


def _agreement(compiled: ov.CompiledModel, nodes: Sequence[ov.Node]) -> list[bool]:
    """Whether each op computes what its decoded weights do, for any number of tokens."""
    random = np.random.default_rng(0)
    agree = [True] * len(nodes)
    for tokens in _TOKENS:
        given = [random.standard_normal((tokens, shape_of(node).k)).astype(np.float32) for node in nodes]
        found = list(compiled(given).values())
        for number, (node, x) in enumerate(zip(nodes, given, strict=True)):
            expected = x @ _decoded(node).T
            difference = float(np.linalg.norm(found[number] - expected))
            agree[number] &= difference <= _TOLERANCE * float(np.linalg.norm(expected))
    return agree


def _decoded(node: ov.Node) -> Array:
    """The weights [N, K] of an op, in f32."""
    shape = shape_of(node)
    parts = from_bytes(node.input_value(1).get_node().data, shape)
    vectors = sum(book[code] for book, code in zip(parts.codebooks.astype(np.float32), parts.codes, strict=True))
    return np.asarray(vectors).reshape(shape.n, shape.k) * parts.scale.astype(np.float32)[:, None]
