"""Exempt single sites from the plugin's dynamic quantization."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.passes.chains import ChainEditor, note_undo
from ovpass.passes.editing import append, feed, marker, small_constant
from ovpass.passes.locate import locate
from ovpass.planning.exemption import F16_WEIGHTS, F16_ZERO_POINT, PRECISE, RANK_4
from ovpass.sites import CompressedMatMul

_LARGEST = float(np.finfo(np.float32).max)
_PRECISE_KEY = "DisablePrecisionConversion_0"
_PRECISE_IR = """<?xml version="1.0"?>
<net name="precise" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="1" element_type="f32"/>
<output><port id="0" precision="FP32"><dim>1</dim></port></output></layer>
<layer id="1" name="y" type="ReLU" version="opset1"><rt_info><attribute name="precise" version="0"/></rt_info>
<input><port id="0" precision="FP32"><dim>1</dim></port></input>
<output><port id="1" precision="FP32"><dim>1</dim></port></output></layer>
<layer id="2" name="r" type="Result" version="opset1"><input><port id="0" precision="FP32"><dim>1</dim></port></input>
</layer></layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>
<edge from-layer="1" from-port="1" to-layer="2" to-port="0"/></edges></net>"""


@dataclass(frozen=True)
class Exempt:
    """Exempt each of `sites` by the method given for it."""

    sites: Mapping[str, str]
    name: ClassVar[str] = "exempt"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Edit around, or the weights of, each MatMul."""
        undo: dict[str, dict[str, Any]] = {}
        for site in locate(model, self.sites):
            undo.update(_METHODS[self.sites[site.name]](site) or {})
        note_undo(model, undo)
        return Counter(self.sites.values())


def _rank_4(site: CompressedMatMul) -> None:
    """Take the MatMul through rank 4, at which the GPU plugin does not quantize.

    The Clamp changes nothing and is fused into the FullyConnected; without it the plugin folds the two reshapes
    away (DeReshapeFullyConnected) where fewer than two dimensions of the activation are dynamic. The new dimension
    comes right before the tokens, unless weights of rank 3 are matched with what is there: OpenVINO GenAI fails to add
    a LoRA adapter where that dimension is dynamic.
    """
    owner, name = site.matmul, marker(site.matmul)
    rank = site.activation_rank or 0
    first = rank - 2 if site.weight_rank <= 2 else 0
    added = list(range(first, first + 4 - rank))
    up = op.unsqueeze(site.activation, small_constant(added, np.int64, owner, "unsqueeze_axes"))
    feed(site, name(up, "unsqueeze").output(0))

    def down(output: ov.Output) -> ov.Node:
        clamped = name(op.clamp(output, -_LARGEST, _LARGEST), "clamp")
        axes = small_constant(added, np.int64, owner, "squeeze_axes")
        return name(op.squeeze(clamped, axes), "squeeze")

    append(owner, down)


def _precise(site: CompressedMatMul) -> None:
    """Mark the MatMul precise: it computes in f32, where there is no quantization."""
    site.matmul.set_rt_info(_precise_attribute(), _PRECISE_KEY)


@cache
def _precise_attribute() -> ov.OVAny:
    """The attribute as OpenVINO's reader makes it; Python can copy it from a node, not create it."""
    donor = ov.Core().read_model(_PRECISE_IR.encode(), ov.Tensor(np.zeros(1, np.uint8)))
    node = next(node for node in donor.get_ops() if node.get_type_name() == "Relu")
    return node.get_rt_info()[_PRECISE_KEY]


def _f16_weights(site: CompressedMatMul) -> None:
    """Hide the decompression behind a Clamp that changes nothing: the plugin computes the weights when it compiles.

    Transposes and Reshapes would not do: the GPU plugin sees through them where no Convert comes before.
    """
    port = site.matmul.input(site.weights_input)
    clamped = marker(site.matmul)(op.clamp(port.get_source_output(), -_LARGEST, _LARGEST), "weights.clamp")
    port.replace_source_output(clamped.output(0))


def _f16_zero_point(site: CompressedMatMul) -> dict[str, dict[str, Any]]:
    editor = ChainEditor(site)
    editor.float_zero_point()
    return editor.undo


_METHODS: dict[str, Callable[[CompressedMatMul], dict[str, dict[str, Any]] | None]] = {
    RANK_4: _rank_4,
    PRECISE: _precise,
    F16_ZERO_POINT: _f16_zero_point,
    F16_WEIGHTS: _f16_weights,
}
