"""Run a model with switches from its first op to its last, whatever is switched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import openvino as ov

from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.sites import CompressedMatMul
from ovpass.tuning.switches import INPUT, Switches, add_switches, group_sizes

Array = npt.NDArray[Any]


class WholeRunner:
    """A model that is not cut, compiled. `sites` are those that get a switch.

    Raises:
        ModelError: if the model does not compile, or takes no token ids.
    """

    def __init__(self, ir: IrFile, model: ov.Model, sites: Sequence[CompressedMatMul], switches: Switches) -> None:
        self._sites = sites
        add_switches(model, sites, symmetric=switches.symmetric, half=switches.half)
        self._runner = Runner(Prepared(model, switches.properties, None, "", ir.xml.parent), str(ir.xml))

    def logits(self, window: Window, choice: Mapping[str, int], *, reuse: bool = True) -> Array:
        """As `SegmentRunner.logits`; nothing is reused."""
        return self._runner.logits(window, {INPUT: group_sizes(self._sites, choice)})
