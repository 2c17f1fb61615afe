"""Predict windows of text on this machine: in this process, in several, or with one block in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovpass.evaluation.ahead import Ahead, Job
from ovpass.evaluation.blockwise import Blockwise, PlainParts
from ovpass.evaluation.hidden_states import HiddenStates
from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.recording import Array
from ovpass.evaluation.runner import Runner
from ovpass.support.formatting import counted
from ovpass.support.progress import Progress


@dataclass(frozen=True)
class Predictor:
    """Predicts on `device`; of `count` windows in all. `ahead` makes predictions in processes, None: this one does.

    With `blockwise` one block of a model is in memory at a time.
    """

    device: str
    count: int
    blockwise: bool = False
    ahead: Ahead | None = None

    def predictions(self, prepared: Prepared, job: Job, progress: Progress) -> Iterator[tuple[int, Array]]:
        """Those of a job by the number of the window, each valid until the next; `prepared` is its model.

        Raises:
            OvpassError: if the model cannot be run.
        """
        if not job.windows:
            return
        if self.blockwise:
            yield from self._block_by_block(prepared, job, progress)
        elif self.ahead is not None:
            progress(f"{job.name}: in {counted(self.ahead.width, 'process', 'processes')}")
            yield from self.ahead.predictions()
        else:
            yield from self._whole(prepared, job, progress)

    def _whole(self, prepared: Prepared, job: Job, progress: Progress) -> Iterator[tuple[int, Array]]:
        progress(f"{job.name}: compiling")
        runner = Runner(prepared, job.name, self.device)
        for number, window in job.windows.items():
            progress(f"{job.name}: window {number + 1} of {self.count}")
            yield number, runner.logits(window)

    def _block_by_block(self, prepared: Prepared, job: Job, progress: Progress) -> Iterator[tuple[int, Array]]:
        parts = PlainParts(job.name, prepared.properties, self.device)
        with tempfile.TemporaryDirectory(prefix="ovpass-hidden-") as folder:
            hidden = HiddenStates(Path(folder))
            model: Blockwise[None] = Blockwise(
                # Each block is cut out of a model that is prepared anew.
                lambda: job.prepared().model,
                job.name,
                prepared.home,
                parts,
                hidden,
                lambda step: progress(f"{job.name}: {step}"),
            )
            logits = model.logits([(window, None) for window in job.windows.values()])
            yield from zip(job.windows, logits, strict=True)
