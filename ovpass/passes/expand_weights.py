"""Rewrite M-ANT weights as 8-bit integers in groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import openvino as ov

from ovpass.errors import PassError
from ovpass.formats import integer, mant_encoding
from ovpass.formats.base import ChainForm
from ovpass.formats.mant_expansion import Expansion, expand
from ovpass.formats.mant_reading import read_mant
from ovpass.passes.editing import marked_name
from ovpass.passes.locate import locate
from ovpass.sites import CompressedMatMul


@dataclass(frozen=True)
class ExpandWeights:
    """Give `sites` weights in i8: plugins keep those compressed, and quantize their activations.

    `found` is filled with what each site's expansion costs.
    """

    sites: tuple[str, ...]
    found: dict[str, Expansion] = field(default_factory=dict, compare=False)
    name: ClassVar[str] = "expand-weights"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Replace the decompression chain before each MatMul.

        Raises:
            PassError: for weights in another format.
        """
        for site in locate(model, self.sites):
            if site.format != mant_encoding.NAME:
                raise PassError(f"{site.name}: its weights are {site.stored_as}; only M-ANT weights are expanded")
            self.found[site.name] = _replace(site)
        return {"sites": len(self.sites)}


def _replace(site: CompressedMatMul) -> Expansion:
    port = site.matmul.input(site.weights_input)
    source, name = port.get_source_output(), marked_name(site.matmul, "weights")
    attributes = site.matmul.get_attributes()
    transposed = not attributes["transpose_b"] if site.weights_input else attributes["transpose_a"]
    expanded = expand(read_mant(site.graph, site.weights, tuple(source.get_shape()), transposed=transposed))
    form = ChainForm(name, f"{name}_", "f32", source.get_element_type().to_string(), transposed)
    port.replace_source_output(integer.write(expanded.weights, form))
    return expanded
