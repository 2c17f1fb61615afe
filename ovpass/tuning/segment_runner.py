"""Run a cut model with switches, from the first segment on that differs from a run before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.evaluation.compiled_segment import CompiledSegment, Tensors
from ovpass.evaluation.cuts import Cut
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.runner import scored_rows
from ovpass.evaluation.segments import Segment, cut_model
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.sites import CompressedMatMul
from ovpass.tuning.local_errors import local_errors
from ovpass.tuning.prefixes import BUDGET, Prefixes
from ovpass.tuning.switches import Switches, add_switches, group_sizes, switchable

Array = npt.NDArray[Any]


class SwitchedSegment:
    """One segment on the CPU, a switch before each of its sites.

    Raises:
        ModelError: if it does not compile.
    """

    def __init__(self, segment: Segment, name: str, switches: Switches) -> None:
        self.sent, self.logits, self.sites = segment.sent, segment.logits, switched_sites(segment)
        if self.sites:
            add_switches(segment.model, self.sites, symmetric=switches.symmetric, half=switches.half)
        self._compiled = CompiledSegment(segment, name, switches.properties)

    def sizes(self, choice: Mapping[str, int]) -> Array:
        """The group sizes that the switches get."""
        return group_sizes(self.sites, choice)

    def run(self, feed: Mapping[str, Array], tensors: Tensors, choice: Mapping[str, int]) -> list[Array]:
        """All outputs for one window from a fresh state, valid until the next run.

        Raises:
            ModelError: if it fails.
        """
        return self._compiled.run(feed, tensors, *([self.sizes(choice)] if self.sites else []))


def switched_sites(segment: Segment) -> list[CompressedMatMul]:
    """The sites of a segment that get a switch."""
    return [site for site in segment.sites if switchable(site) is None]


class SegmentRunner:
    """All segments of a model, compiled. `budget`: bytes of memory for what earlier runs leave to later ones.

    Raises:
        ModelError: if a segment does not compile, or the model takes no token ids.
    """

    def __init__(
        self,
        ir: IrFile,
        model: ov.Model,
        cut: Cut,
        sites: Sequence[CompressedMatMul],
        switches: Switches,
        budget: int = BUDGET,
    ) -> None:
        self._name = str(ir.xml)
        self._feed = TokenFeed(model, self._name, ir.xml.parent)
        segments = cut_model(model, cut, sites)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self._chain = list(pool.map(lambda segment: SwitchedSegment(segment, self._name, switches), segments))
        self._prefixes = Prefixes(budget)

    def logits(self, window: Window, choice: Mapping[str, int], *, reuse: bool = True) -> Array:
        """The predictions of the window's scored tokens, [scored, vocabulary]; valid until the next call.

        Raises:
            ModelError: if the model fails, or gives no predictions for every token.
            OutputError: if there is no room for what runs leave.
        """
        key = tuple(tuple(map(int, segment.sizes(choice))) for segment in self._chain)
        start, tensors = self._prefixes.longest(window.ids.tobytes(), key) if reuse else (0, {})
        start = min(start, len(self._chain) - 1)
        logits, sent = self._run(window, start, tensors, choice)
        if start == 0 and reuse:
            self._prefixes.keep(window.ids.tobytes(), key, sent)
        return scored_rows(logits, window, self._name)

    def local_errors(self, window: Window, choices: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
        """As `local_errors.local_errors`, over one window."""
        return local_errors(self._chain, self._feed(window.ids), choices)

    def _run(self, window: Window, start: int, before: Tensors, choice: Mapping[str, int]) -> tuple[Array, Tensors]:
        """The logits, and what all segments sent; valid until the next run."""
        feed, tensors, logits = self._feed(window.ids), dict(before), np.empty(0, np.float32)
        for segment in self._chain[start:]:
            outputs = segment.run(feed, tensors, choice)
            tensors.update(zip(segment.sent, outputs, strict=False))
            logits = logits if segment.logits is None else outputs[segment.logits]
        return logits, tensors
