"""Statistics of a site's activation, which explain the cost of its quantization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.blockwise import segments_of
from ovpass.evaluation.compiled_segment import CompiledSegment
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.preparation import CLEAN, Prepared, without_own_quantization
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.ir.graph import Output
from ovpass.passes.quantizers import Quantizer
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.tuning.switches import switchable

Array = npt.NDArray[Any]

_TOP = 0.01
_LEAST = 1e-30


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


@dataclass(frozen=True)
class Question:
    """What to tell of activations: errors for these group sizes. Those that do not divide a site's K are left out."""

    groups: Sequence[int]
    symmetric: bool
    half: bool


def activation_facts(ir: IrFile, window: Window, question: Question) -> dict[str, ActivationFacts]:
    """The facts of each site that can have a switch, by name, over the tokens of one window."""
    model = without_own_quantization(ir.read())
    statistics = _Statistics(model, find_compressed_matmuls(model), question)
    runner = Runner(Prepared(model, CLEAN, None, "", ir.xml.parent), str(ir.xml))
    return statistics.read(runner.outputs(window))


def activation_facts_by_blocks(ir: IrFile, window: Window, question: Question) -> dict[str, ActivationFacts]:
    """The same with one block of the model in memory at a time.

    Raises:
        ModelError: if the model cannot be cut at its blocks.
    """
    name = str(ir.xml)
    model = without_own_quantization(ir.read())
    feed = TokenFeed(model, name, ir.xml.parent)(window.ids)
    found, tensors = dict[str, ActivationFacts](), dict[Output, Array]()
    for number in range(len(segments_of(model, name))):
        segment = segments_of(without_own_quantization(ir.read()), name)[number]
        statistics = _Statistics(segment.model, segment.sites, question)
        outputs = CompiledSegment(segment, name, CLEAN).run(feed, tensors)
        tensors.update((source, np.array(values)) for source, values in zip(segment.sent, outputs, strict=False))
        found.update(statistics.read(outputs))
    return found


class _Statistics:
    """The facts of the `sites` of `model`, which gets their activations as outputs, in place.

    Small models of their own compute them, one for each K: in the large model, the same ops take longer to compile
    than to run.
    """

    def __init__(self, model: ov.Model, sites: Sequence[CompressedMatMul], question: Question) -> None:
        self._sites = [site for site in sites if switchable(site) is None]
        self._activations = {site.group_id: site for site in self._sites}
        self._own = len(model.outputs)
        self._compute = {k: _Computation(k, question) for k in {site.k for site in self._sites}}
        model.add_results([op.result(op.convert(site.activation, "f32")) for site in self._activations.values()])

    def read(self, outputs: Sequence[Array]) -> dict[str, ActivationFacts]:
        """The facts by site, from all outputs of the model."""
        read = zip(self._activations.items(), outputs[self._own :], strict=True)
        found = {key: self._compute[site.k].facts(values.reshape(-1, site.k)) for (key, site), values in read}
        return {site.name: found[site.group_id] for site in self._sites}


@dataclass
class _Computation:
    """Facts of activations [tokens, K]."""

    k: int
    question: Question
    _groups: list[int] = field(init=False)
    _compiled: ov.CompiledModel = field(init=False)

    def __post_init__(self) -> None:
        sizes = sorted({min(group, self.k) for group in self.question.groups})
        self._groups = [group for group in sizes if self.k % group == 0]
        rows = op.parameter([-1, self.k], np.float32)
        nodes = _statistics(rows, self._groups, symmetric=self.question.symmetric, half=self.question.half)
        self._compiled = ov.Core().compile_model(ov.Model(nodes, [rows]), "CPU", CLEAN)

    def facts(self, rows: Array) -> ActivationFacts:
        largest, energy, *errors = self._compiled([rows]).values()
        total = max(energy.sum(), _LEAST)
        shares = {group: float(error / total) for group, error in zip(self._groups, errors, strict=True)}
        return _facts(largest, energy, shares)


def _statistics(x: ov.Node, groups: Sequence[int], *, symmetric: bool, half: bool) -> list[ov.Node]:
    """The largest magnitude and the energy of each channel, [K] each, and the energy of the error for each group."""
    tokens, everything = op.constant(np.array([0], np.int64)), op.constant(np.array([0, 1], np.int64))
    nodes = [op.reduce_max(op.abs(x), tokens), op.reduce_sum(op.multiply(x, x), tokens)]
    for group in groups:
        split = op.reshape(x, op.constant(np.array([-1, group], np.int64)), False)
        quantizer = Quantizer(-1, lambda node, _: node)
        left = quantizer.dequantized(quantizer.build(split, symmetric=symmetric, half=half))
        nodes.append(op.reduce_sum(op.squared_difference(left, split), everything))
    return nodes


def _facts(largest: Array, energy: Array, errors: dict[int, float]) -> ActivationFacts:
    top = max(1, round(len(energy) * _TOP))
    share = np.sort(energy)[-top:].sum() / max(energy.sum(), _LEAST)
    return ActivationFacts(float(largest.max() / max(np.median(largest), _LEAST)), float(share), errors)
