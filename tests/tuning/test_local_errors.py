"""Local errors: what they are, and that they rank like costs do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from ovpass.evaluation.options import Evaluation
from ovpass.tuning import sensitivity as sweep
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.local_errors import local_errors
from ovpass.tuning.sensitivity import Measure, sensitivity
from tests.cli.command import LLAMA

SMALL = Evaluation(windows=1, window_tokens=64)


class Doubling:
    """A segment that doubles what the one before sent, and adds one in a single channel if its site is switched on."""

    def __init__(self, number: int, *, last: bool = False) -> None:
        self.sites = [SimpleNamespace(name=f"site {number}")]
        self.sent = [] if last else [(number, 0)]
        self._before = (number - 1, 0)

    def run(self, feed: dict, tensors: dict, choice: dict) -> list:  # type: ignore[type-arg]
        x = 2 * tensors.get(self._before, feed["x"])
        if self.sites[0].name in choice:
            x[..., 0] += 1
        return [x] if self.sent else []


def test_the_error_is_a_share_of_the_energy_that_adds_up_over_blocks() -> None:
    segments = [Doubling(0), Doubling(1), Doubling(2, last=True)]
    choices = {"first": ["site 0"], "second": ["site 1"], "both": ["site 0", "site 1"], "head": ["site 2"]}
    wanted = {name: dict.fromkeys(sites, 1) for name, sites in choices.items()}
    found = local_errors(segments, {"x": np.ones((1, 3, 4), np.float32)}, wanted)  # type: ignore[arg-type]
    assert found == pytest.approx({"first": 1.1 / 16, "second": 1.1 / 64, "both": 1.1 * 5 / 64})


@pytest.mark.slow
def test_estimates_rank_like_costs_and_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_ENOUGH_TOKENS", 10**6)
    monkeypatch.setattr(sweep, "_EVALUATIONS", 0)
    experiment = Experiment(LLAMA, evaluation=SMALL, state=tmp_path)
    exact = {entry.unit.name: entry.costs.trimmed for entry in sensitivity(experiment).ranking}
    found = sensitivity(experiment, Measure(fast=True))
    estimated = {entry.unit.name: entry.costs.trimmed for entry in found.ranking}
    assert spearmanr([exact[name] for name in estimated], list(estimated.values())).statistic > 0.9
    assert sum(estimated.values()) == pytest.approx(found.together.trimmed)
    measured = {entry.unit.kind for entry in found.ranking if not entry.screened}
    assert measured == {"lm_head"}
    assert all((entry.costs.top1_lost is None) == entry.screened for entry in found.ranking)


@pytest.mark.slow
def test_blocks_one_at_a_time_have_the_same_errors(tmp_path: Path) -> None:
    whole, blocks = (
        Experiment(LLAMA, evaluation=SMALL, state=tmp_path, executor=e) for e in ("in-process", "blockwise")
    )
    choices = {name: {name: size} for name, size in whole.choice(whole.plan).items()}
    (window,) = whole.windows
    assert blocks.local_errors(choices, window) == whole.local_errors(choices, window)
