"""Rewrite MatMuls that ONNX Runtime quantizes dynamically to OpenVINO's compressed form.

    y = MatMul(x, Multiply(Subtract(Convert(codes), Convert(zero point)), scale))

The graph no longer quantizes the activation. The weights are the same numbers to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.errors import PassError
from ovpass.formats import integer
from ovpass.formats.base import ChainForm
from ovpass.ir.constant_folding import evaluate
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.passes.editing import bypass, marked_name
from ovpass.passes.locate import locate
from ovpass.sites import CompressedMatMul
from ovpass.sites.onnx_runtime import NonCanonical

CANONICALIZED = "restated"
"""The section of the note that lists sites whose subgraph was replaced for good."""


@dataclass(frozen=True)
class Canonicalize:
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
            if site.noncanonical is None:
                raise PassError(f"{site.name}: its weights are already in OpenVINO's compressed form")
            source = site.activation
            before = site.noncanonical.graph.node(site.noncanonical.output).output(0)
            # What is read can be a product that has just been replaced.
            moved[before] = _product(site, site.noncanonical, moved.get(source, source))
            bypass(moved[before], before)
        if self.sites:
            extend_note(ModelMetadata(model), CANONICALIZED, dict.fromkeys(self.sites, True))
        return {"sites": len(self.sites)}


def _product(site: CompressedMatMul, noncanonical: NonCanonical, activation: ov.Output) -> ov.Output:
    """The MatMul in OpenVINO's form, under its own name."""
    attributes = site.matmul.get_attributes()
    weights = _weights(site, noncanonical, activation.get_element_type())
    product = op.matmul(activation, weights, attributes["transpose_a"], attributes["transpose_b"])
    product.set_friendly_name(site.matmul.get_friendly_name())
    return product.output(0)


def _weights(site: CompressedMatMul, noncanonical: NonCanonical, compute: ov.Type) -> ov.Output:
    """Convert, [Subtract,] Multiply, with one scale a channel."""
    stored, kind = noncanonical.stored(), compute.to_string()
    assert stored is not None, "it would not have been found"
    scale = np.broadcast_to(evaluate(noncanonical.graph.node(noncanonical.scale).output(0)).reshape(-1, 1), (site.n, 1))
    scaled = replace(stored, encoding=replace(stored.encoding, scale_type=kind), scale=scale.astype(np.float32))
    steps = marked_name(site.matmul, "weights_")
    transposed = noncanonical.channel_axis == 1
    return integer.write(scaled, ChainForm(noncanonical.graph.name(noncanonical.codes), steps, kind, kind, transposed))
