"""Statistics of a site's activation, which explain the cost of its quantization.

The graph computes them, so that only a few numbers per channel leave it, not the activations of a large model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.preparation import CLEAN, Prepared, without_own_quantization
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.passes.quantizers import Quantizer
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.tuning.switches import switchable

Array = npt.NDArray[Any]

_TOP = 0.01


@dataclass(frozen=True)
class ActivationFacts:
    """An activation's outliers, and what quantization leaves of it.

    `max_over_median` compares the largest magnitude of the largest channel with that of the median one.
    `top_energy` is the share of the energy (sum of squares) in the 1 % of channels that have most. `errors` gives by
    group size the energy of the rounding error as a share of the activation's own.
    """

    max_over_median: float
    top_energy: float
    errors: dict[int, float]


def activation_facts(
    ir: IrFile, window: Window, groups: Sequence[int], *, symmetric: bool, half: bool
) -> dict[str, ActivationFacts]:
    """The facts of each site that can have a switch, by name, over the tokens of one window.

    `groups` are the sizes to tell errors of; those that do not divide a site's K are left out there.
    """
    model = without_own_quantization(ir.read())
    sites = [site for site in find_compressed_matmuls(model) if switchable(site) is None]
    by_activation = {site.group_id: site for site in sites}
    before = len(model.outputs)
    chosen = {key: sorted({min(group, site.k) for group in groups}) for key, site in by_activation.items()}
    chosen = {key: [g for g in sizes if by_activation[key].k % g == 0] for key, sizes in chosen.items()}
    outputs = [
        op.result(node)
        for key, site in by_activation.items()
        for node in _statistics(site, chosen[key], symmetric=symmetric, half=half)
    ]
    model.add_results(outputs)
    runner = Runner(Prepared(model, CLEAN, None, "", ir.xml.parent), str(ir.xml))
    values = iter(np.array(value) for value in runner.outputs(window)[before:])
    found = {}
    for key in by_activation:
        largest, energy = next(values), next(values)
        errors = {group: float(next(values) / max(energy.sum(), 1e-30)) for group in chosen[key]}
        found[key] = _facts(largest, energy, errors)
    return {site.name: found[site.group_id] for site in sites}


def _statistics(site: CompressedMatMul, groups: Sequence[int], *, symmetric: bool, half: bool) -> list[ov.Node]:
    """The largest magnitude and the energy of each channel, [K] each, and the energy of the error for each group."""
    x = op.convert(site.activation, "f32")
    rows = op.reshape(x, op.constant(np.array([-1, site.k], np.int64)), False)
    tokens, everything = op.constant(np.array([0], np.int64)), op.constant(np.array([0, 1], np.int64))
    nodes = [op.reduce_max(op.abs(rows), tokens), op.reduce_sum(op.multiply(rows, rows), tokens)]
    for group in groups:
        split = op.reshape(rows, op.constant(np.array([-1, group], np.int64)), False)
        quantizer = Quantizer(-1, lambda node, _: node)
        left = quantizer.dequantized(quantizer.build(split, symmetric=symmetric, half=half))
        nodes.append(op.reduce_sum(op.squared_difference(left, split), everything))
    return nodes


def _facts(largest: Array, energy: Array, errors: dict[int, float]) -> ActivationFacts:
    top = max(1, round(len(energy) * _TOP))
    share = np.sort(energy)[-top:].sum() / max(energy.sum(), 1e-30)
    return ActivationFacts(float(largest.max() / max(np.median(largest), 1e-30)), float(share), errors)
