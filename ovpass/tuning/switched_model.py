"""Measure any set of sites and group sizes with one compiled model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ovpass.errors import ModelError
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.preparation import CLEAN, Prepared, without_own_quantization
from ovpass.evaluation.recording import Array
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.summary import trimmed_mean
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.sites import find_compressed_matmuls
from ovpass.tuning.switches import INPUT, add_switches, group_sizes, switchable

Choice = Mapping[str, int]
"""Group sizes by name of site; a site that is not named stays exact."""
_KEPT_BYTES = 2**31
"""For exact logits. Those of further windows are computed each time."""


@dataclass(frozen=True)
class Cost:
    """KL divergence from the exact model in nats per token, and the share of tokens in percent whose top-1 differs.

    `trimmed` is the mean without the largest 1 %: it is what sites are ranked by, for single tokens can rule the mean.
    """

    mean: float
    trimmed: float
    median: float
    top1_lost: float

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
            self.median - other.median,
            self.top1_lost - other.top1_lost,
        )


class SwitchedModel:
    """A model with a switch before each site that can have one, compiled once for the CPU.

    `sites` are those with a switch. It runs on `threads` threads, None: on all.

    Raises:
        ModelError: if the model does not compile, or gives no predictions.
    """

    def __init__(
        self, ir: IrFile, windows: Sequence[Window], *, symmetric: bool, half: bool, threads: int | None = None
    ) -> None:
        model = without_own_quantization(ir.read())
        self.sites = [site for site in find_compressed_matmuls(model) if switchable(site) is None]
        add_switches(model, self.sites, symmetric=symmetric, half=half)
        limit = {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}
        self._runner = Runner(Prepared(model, {**CLEAN, **limit}, None, "", ir.xml.parent), str(ir.xml))
        self._threads = threads
        self._exact: dict[tuple[bytes, int], Array] = {}
        self._warm_up(max(windows, key=lambda window: len(window.ids)), ir)

    def scores(self, choice: Choice, windows: Sequence[Window]) -> list[TokenScores]:
        """Scores of each window with these sites quantized, against none."""
        sizes = group_sizes(self.sites, choice)
        found = []
        for window in windows:
            exact = self._reference(window)
            found.append(compare_logits(exact, self._logits(window, sizes), window, self._threads))
        return found

    def _reference(self, window: Window) -> Array:
        key = window.ids.tobytes(), window.scored
        if key in self._exact:
            return self._exact[key]
        exact: Array = self._logits(window, group_sizes(self.sites, {})).copy()
        if exact.nbytes + sum(kept.nbytes for kept in self._exact.values()) <= _KEPT_BYTES:
            self._exact[key] = exact
        return exact

    def _logits(self, window: Window, sizes: Array) -> Array:
        return self._runner.logits(window, {INPUT: sizes})

    def _warm_up(self, window: Window, ir: IrFile) -> None:
        """Run once in each position of the switches at full length.

        On OpenVINO 2026.4 the CPU plugin's If gives wrong numbers on the first inference after a shape has grown
        (measured: right from the second on), so nothing counts before the longest window has been seen.
        """
        everything = {site.name: site.k for site in self.sites}
        for choice in ({}, everything, {}):
            before = self._logits(window, group_sizes(self.sites, choice)).copy()
        if not np.array_equal(before, self._logits(window, group_sizes(self.sites, {}))):
            raise ModelError(f"{ir.xml}: two runs of the same tokens differ; sites cannot be switched one by one")
