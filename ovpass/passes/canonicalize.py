"""Rewrite MatMuls that ONNX Runtime quantizes dynamically to OpenVINO's compressed form.

    y = MatMul(x, Multiply(Subtract(Convert(codes), Convert(zero point)), scale))

The graph no longer quantizes the activation. The weights are the same numbers to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.errors import PassError
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.passes.editing import bypass, marker
from ovpass.passes.locate import locate
from ovpass.passes.packing import constant_of, evaluate
from ovpass.sites import CompressedMatMul
from ovpass.sites.onnx_runtime import Foreign

RESTATED = "restated"
"""The section of the note that lists sites whose subgraph was replaced for good."""


@dataclass(frozen=True)
class Restate:
    """Replace the subgraphs of `sites`, each under the name of its MatMul."""

    sites: tuple[str, ...]
    name: ClassVar[str] = "restate"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Build the products anew; quantizers that nothing reads any more are gone with them.

        Raises:
            PassError: for a site that is in OpenVINO's form already.
        """
        moved: dict[ov.Output, ov.Output] = {}
        for site in locate(model, self.sites):
            if site.foreign is None:
                raise PassError(f"{site.name}: its weights are in OpenVINO's compressed form already")
            source = site.activation
            before = site.foreign.graph.node(site.foreign.output).output(0)
            # What is read can be a product that has just been replaced.
            moved[before] = _product(site, site.foreign, moved.get(source, source))
            bypass(moved[before], before)
        if self.sites:
            extend_note(ModelMetadata(model), RESTATED, dict.fromkeys(self.sites, True))
        return {"sites": len(self.sites)}


def _product(site: CompressedMatMul, foreign: Foreign, activation: ov.Output) -> ov.Output:
    """The MatMul in OpenVINO's form, under its own name."""
    attributes = site.matmul.get_attributes()
    weights = _weights(site, foreign, activation.get_element_type())
    product = op.matmul(activation, weights, attributes["transpose_a"], attributes["transpose_b"])
    product.set_friendly_name(site.matmul.get_friendly_name())
    return product.output(0)


def _weights(site: CompressedMatMul, foreign: Foreign, compute: ov.Type) -> ov.Node:
    """codes -> Convert, [Subtract,] Multiply, with one scale a channel."""
    name, stored = marker(site.matmul), foreign.stored()
    assert stored is not None, "it would not have been found"
    codes = constant_of(stored.codes, stored.element_type)
    codes.set_friendly_name(foreign.graph.name(foreign.codes))
    weights = name(op.convert(codes, compute), "weights_converted")
    if stored.zero_point is not None:
        shift = name(constant_of(stored.zero_point, stored.element_type), "weights_zero_point")
        converted = name(op.convert(shift, compute), "weights_zero_point_converted")
        weights = name(op.subtract(weights, converted), "weights_shifted")
    values = foreign.along_channels(evaluate(foreign.graph.node(foreign.scale).output(0)))
    scale = np.ascontiguousarray(np.broadcast_to(values, foreign.channels)).astype(compute.to_dtype())
    return name(op.multiply(weights, name(op.constant(scale), "weights_scale")), "weights_scaled")
