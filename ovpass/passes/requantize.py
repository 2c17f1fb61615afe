"""Re-quantize weights to symmetric 8 bits per channel, as the int8 lowering needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.passes.editing import marker
from ovpass.passes.locate import locate
from ovpass.passes.packing import evaluate
from ovpass.sites import CompressedMatMul

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
    source, name = port.get_source_output(), marker(site.matmul)
    k_axis = -1 if site.matmul.get_attributes()["transpose_b"] else -2
    weights = np.asarray(evaluate(source), dtype=np.float32)
    scale = np.abs(weights).max(axis=k_axis, keepdims=True) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1))
    codes = np.clip(np.rint(weights / scale), -127, 127).astype(np.int8)
    dtype = source.get_element_type()
    converted = name(op.convert(name(op.constant(codes), "weights"), dtype), "weights_converted")
    factor = name(op.constant(scale.astype(dtype.to_dtype())), "weights_scale")
    port.replace_source_output(name(op.multiply(converted, factor), "weights_scaled").output(0))
