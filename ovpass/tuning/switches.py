"""A model whose quantization is an input: compiled once for hundreds of settings.

Before each site an If passes the activation on, or quantizes and dequantizes it with the group size that the input
gives for the site. Off, a site computes what it did before, bit for bit. On, it computes what the emulate lowering
computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.preparation import CLEAN
from ovpass.passes.editing import feed
from ovpass.passes.quantizers import Quantizer
from ovpass.sites import CompressedMatMul

INPUT = "ovpass_group_sizes"
EXACT = 0

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Switches:
    """How switches quantize, and the compile properties of models that have them."""

    symmetric: bool
    half: bool
    properties: Mapping[str, str] = field(default_factory=lambda: CLEAN)


def add_switches(
    model: ov.Model, sites: Sequence[CompressedMatMul], *, symmetric: bool = True, half: bool = True
) -> None:
    """Put a switch before each of `sites` of `model`, in place.

    The new input INPUT is i64 [sites]: the group size of each, a divisor of its K, or EXACT.
    """
    sizes = op.parameter(ov.PartialShape([len(sites)]), np.int64, name=INPUT)
    sizes.output(0).set_names({INPUT})
    model.add_parameters([sizes])  # the model is not valid with a parameter that it does not know
    first = op.constant(np.int64(0))
    for number, site in enumerate(sites):
        size = op.gather(sizes, op.constant(np.int64(number)), first)
        feed(site, _switch(site, size.output(0), symmetric=symmetric, half=half))
    model.validate_nodes_and_infer_types()


def switchable(site: CompressedMatMul) -> str | None:
    """Why there can be no switch before this site, or None."""
    if site.activation_rank is None:
        return "the activation has a dynamic rank"
    if site.transposed_activation:
        return "the activation is transposed"
    if site.in_body:
        return "it is in the body of an If or a loop"
    return None


def group_sizes(sites: Sequence[CompressedMatMul], chosen: Mapping[str, int]) -> Groups:
    """The value of the input: `chosen` by name, EXACT for the others; all of K where a group is longer."""
    sizes = [min(chosen.get(site.name, EXACT), site.k) for site in sites]
    return np.array(sizes, np.int64)


def _switch(site: CompressedMatMul, size: ov.Output, *, symmetric: bool, half: bool) -> ov.Output:
    x = site.activation
    branch = op.if_op(op.greater(size, op.constant(np.int64(EXACT))).output(0))
    shape, kind = x.get_partial_shape(), x.get_element_type().to_dtype()
    passed = op.parameter(shape, kind)
    data, group = op.parameter(shape, kind), op.parameter(ov.PartialShape([]), np.int64)
    quantized = _quantized(site, data, group, symmetric=symmetric, half=half)
    on, off = ov.Model([op.result(quantized)], [data, group], "on"), ov.Model([op.result(passed)], [passed], "off")
    branch.set_then_body(on)
    branch.set_else_body(off)
    branch.set_input(x, data, passed)
    branch.set_input(size, group, None)
    return branch.set_output(on.results[0], off.results[0])


def _quantized(site: CompressedMatMul, x: ov.Node, group: ov.Node, *, symmetric: bool, half: bool) -> ov.Node:
    """Split the last axis into groups of a size known at run time, quantize, dequantize, and join."""
    others = [0] * ((site.activation_rank or 1) - 1)
    wide = x if x.get_output_element_type(0) == ov.Type.f32 else op.convert(x, "f32")
    split = op.concat([op.constant(np.array([*others, -1], np.int64)), op.unsqueeze(group, np.int64(0))], 0)
    quantizer = Quantizer(-1, lambda node, _: node)
    codes = quantizer.build(op.reshape(wide, split, True), symmetric=symmetric, half=half)
    joined = op.reshape(quantizer.dequantized(codes), op.constant(np.array([*others, site.k], np.int64)), True)
    return joined if wide is x else op.convert(joined, x.get_output_element_type(0).to_string())
