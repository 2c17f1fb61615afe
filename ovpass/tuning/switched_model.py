"""Measure any set of sites and group sizes with one compiled model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.cuts import Cut, UncuttableError, find_cut
from ovpass.evaluation.exact_logits import ExactLogits
from ovpass.evaluation.preparation import CLEAN, without_own_quantization
from ovpass.evaluation.summary import trimmed_mean
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.tuning.prefixes import BUDGET
from ovpass.tuning.segment_runner import SegmentRunner
from ovpass.tuning.switches import Switches, switchable
from ovpass.tuning.whole_runner import WholeRunner

Choice = Mapping[str, int]
"""Group sizes by name of site; a site that is not named stays exact."""


@dataclass(frozen=True)
class Cost:
    """KL divergence from the exact model in nats per token, and the share of tokens in percent whose top-1 differs.

    `trimmed` is the mean without the largest 1 %: it is what sites are ranked by, for single tokens can rule the mean.
    `median` and `top1_lost` are None where the mean is an estimate.
    """

    mean: float
    trimmed: float
    median: float | None
    top1_lost: float | None

    @classmethod
    def estimated(cls, kl: float) -> Cost:
        """A cost of which the divergence alone is known, and not from predictions."""
        return cls(kl, kl, None, None)

    @classmethod
    def of(cls, scores: Sequence[TokenScores]) -> Cost:
        """The cost over all tokens of all windows."""
        kl = np.concatenate([part.kl for part in scores])
        agrees = np.concatenate([part.agrees for part in scores])
        lost = 100 * float(1 - agrees.mean())
        return cls(float(kl.mean()), trimmed_mean(kl), float(np.median(kl)), lost)

    def minus(self, other: Cost) -> Cost:
        """What is saved by going from this cost to the other."""
        return Cost(
            self.mean - other.mean,
            self.trimmed - other.trimmed,
            _difference(self.median, other.median),
            _difference(self.top1_lost, other.top1_lost),
        )


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


class SwitchedModel:
    """A model with a switch before each site that can have one, compiled once for the CPU.

    Where the model can be cut at its blocks, a run starts at the first block that differs from a run before: `whole` is
    why it does not, None if it does. Without `reuse` the whole model runs each time. `budget` is in bytes of memory for
    what runs keep; the rest is on disk. `sites` are those with a switch. It runs on `threads` threads,
    None: on all.

    Raises:
        ModelError: if the model does not compile, or gives no predictions.
    """

    def __init__(
        self,
        ir: IrFile,
        windows: Sequence[Window],
        *,
        symmetric: bool,
        half: bool,
        threads: int | None = None,
        budget: int = BUDGET,
        reuse: bool = True,
    ) -> None:
        self._threads = threads
        model = without_own_quantization(ir.read())
        sites = find_compressed_matmuls(model)
        self.sites = [site for site in sites if switchable(site) is None]
        switches = switches_on(threads, symmetric=symmetric, half=half)
        cut = _cut(model, sites) if reuse else "reuse is off"
        self.whole = cut if isinstance(cut, str) else None
        self._runner = (
            WholeRunner(ir, model, self.sites, switches)
            if isinstance(cut, str)
            else SegmentRunner(ir, model, cut, sites, switches, budget)
        )
        self._exact = ExactLogits(lambda window: self._runner.logits(window, {}))
        self._warm_up(max(windows, key=lambda window: len(window.ids)), ir)

    def scores(self, choice: Choice, windows: Sequence[Window]) -> list[TokenScores]:
        """Scores of each window with these sites quantized, against none."""
        found = []
        for window in windows:
            exact = self._exact(window)
            found.append(compare_logits(exact, self._runner.logits(window, choice), window, self._threads))
        return found

    def local_errors(self, choices: Mapping[str, Choice], window: Window) -> dict[str, float]:
        """What each choice does to the blocks that it is in, by its name, as a share of what they hand on.

        Raises:
            ModelError: if the model is not cut.
        """
        if not isinstance(self._runner, SegmentRunner):
            raise ModelError(f"it is not cut at its blocks: {self.whole}")
        return self._runner.local_errors(window, choices)

    def _warm_up(self, window: Window, ir: IrFile) -> None:
        """Run once in each position of the switches at full length.

        On OpenVINO 2026.4 the CPU plugin's If gives wrong numbers on the first inference after a shape has grown
        (measured: right from the second on), so nothing counts before the longest window has been seen.
        """
        everything = {site.name: site.k for site in self.sites}
        for choice in ({}, everything, {}):
            before = self._runner.logits(window, choice, reuse=False).copy()
        if not np.array_equal(before, self._runner.logits(window, {}, reuse=False)):
            raise ModelError(f"{ir.xml}: two runs of the same tokens differ; sites cannot be switched one by one")


def switches_on(threads: int | None, *, symmetric: bool, half: bool) -> Switches:
    """Switches in a model that runs on so many threads, None: on all."""
    limit = {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}
    return Switches(symmetric, half, {**CLEAN, **limit})


def _cut(model: ov.Model, sites: Sequence[CompressedMatMul]) -> Cut | str:
    """Where to cut the model, or why it cannot be."""
    try:
        return find_cut(ModelGraph(model), sites)
    except UncuttableError as error:
        return str(error)
