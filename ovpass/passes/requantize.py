"""Re-quantize weights to symmetric 8 bits per channel, as the int8 lowering needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import openvino as ov

from ovpass.formats import integer
from ovpass.formats.base import ChainForm, Encoding
from ovpass.ir.constant_folding import evaluate
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.passes.editing import marked_name
from ovpass.passes.locate import locate
from ovpass.sites import CompressedMatMul

_ENCODING = Encoding(integer.NAME, "i8", scale_type="f32")
REQUANTIZED = "requantized"
"""The section of the note that lists sites whose weights were replaced for good."""


@dataclass(frozen=True)
class Requantize:
    """Replace the weights of `sites`; the old ones cannot be had back from the new."""

    sites: tuple[str, ...]
    name: ClassVar[str] = "requantize"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Replace the decompression chain before each MatMul."""
        for site in locate(model, self.sites):
            _replace_weights(site)
        if self.sites:
            extend_note(ModelMetadata(model), REQUANTIZED, dict.fromkeys(self.sites, True))
        return {"sites": len(self.sites)}


def _replace_weights(site: CompressedMatMul) -> None:
    """i8 codes of round(w / s), s = max|w| / 127 over K; the chain is Convert, Multiply, as NNCF's int8_sym."""
    port = site.matmul.input(site.weights_input)
    source, name = port.get_source_output(), marked_name(site.matmul, "weights")
    transposed = not site.matmul.get_attributes()["transpose_b"]
    weights = np.asarray(evaluate(source), dtype=np.float32)
    encoded = integer.encode(weights.swapaxes(-1, -2) if transposed else weights, _ENCODING)
    kind = source.get_element_type().to_string()
    stored = replace(encoded, encoding=replace(_ENCODING, scale_type=kind))
    form = ChainForm(name, f"{name}_", compute=kind, output=kind, transposed=transposed)
    port.replace_source_output(integer.write(stored, form))
