"""Reuse of what did not change: the same bits as the whole model, from the block that is switched on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ovpass.errors import OutputError
from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.options import Evaluation
from ovpass.ir.files import open_source
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.reference_arithmetic import Array
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.prefixes import Prefixes
from ovpass.tuning.segment_runner import SwitchedSegment
from ovpass.tuning.sensitivity import Measure, sensitivity
from ovpass.tuning.switched_model import SwitchedModel
from ovpass.tuning.switches import Switches
from ovpass.tuning.whole_runner import WholeRunner
from tests.builders import llama_model
from tests.cli.command import LLAMA, CommandLine
from tests.evaluation.models import folder_of

WINDOWS = Experiment(LLAMA, evaluation=Evaluation(windows=2, window_tokens=24)).windows


DEFAULTS = SwitchedModel.__init__.__kwdefaults__ or {}


@pytest.fixture(scope="module")
def reusing() -> SwitchedModel:
    """No budget in memory: what it keeps comes from disk."""
    return SwitchedModel(open_source(LLAMA).models[0], WINDOWS, symmetric=True, half=True, budget=0)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the segments that run."""
    counted, run = [0], SwitchedSegment.run

    def counting(segment: SwitchedSegment, *arguments: Mapping[str, Array]) -> list[Array]:
        counted[0] += 1
        return run(segment, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SwitchedSegment, "run", counting)
    yield counted


@pytest.mark.slow
def test_scores_are_those_of_the_whole_model_bit_for_bit(reusing: SwitchedModel) -> None:
    ir = open_source(LLAMA).models[0]
    model = ir.read()
    sites = find_compressed_matmuls(model)
    whole = WholeRunner(ir, model, sites, Switches(symmetric=True, half=True))
    everything = {site.name: site.k for site in sites}
    choices = [everything, *({s.name: s.k} for s in sites), *({**everything, s.name: 0} for s in sites)]
    for choice in ({}, everything, {}):  # the first inference after a shape has grown is wrong on the CPU plugin
        whole.logits(WINDOWS[0], choice)
    exact = [whole.logits(window, {}).copy() for window in WINDOWS]
    for choice in choices:
        for clean, window, scores in zip(exact, WINDOWS, reusing.scores(choice, WINDOWS), strict=True):
            expected = compare_logits(clean, whole.logits(window, choice), window)
            np.testing.assert_array_equal(scores.kl, expected.kl)
            np.testing.assert_array_equal(scores.nll, expected.nll)


def test_a_switch_in_the_last_block_runs_the_last_block_and_the_head(reusing: SwitchedModel, ran: list[int]) -> None:
    everything = {site.name: site.k for site in reusing.sites}
    reusing.scores(everything, WINDOWS)
    site = next(site for site in reusing.sites if site.layer == 1)
    for choice in ({site.name: site.k}, {**everything, site.name: 0}):
        ran[0] = 0
        reusing.scores(choice, WINDOWS[:1])
        assert ran == [2]


def test_one_block_runs_whole_and_says_so(tmp_path: Path) -> None:
    folder = folder_of(llama_model(1), tmp_path / "model")
    experiment = Experiment(folder, evaluation=Evaluation(windows=1, window_tokens=24), state=tmp_path / "state")
    report = sensitivity(experiment, Measure(by="kind"))
    assert report.whole == experiment.switched.whole == "it has fewer than two blocks of sites"


def test_a_window_keeps_the_runs_that_spare_most() -> None:
    prefixes, array = Prefixes(), np.zeros(4)
    for number in range(9):
        prefixes.keep("window", (number, number), {(0, 0): array + number})
        assert prefixes.longest("window", (0, 1))[0] == 1
    start, kept = prefixes.longest("window", (8, 1))
    assert start == 1
    assert kept[0, 0].tolist() == [8, 8, 8, 8]
    assert prefixes.longest("window", (2, 2))[0] == 0
    assert prefixes.longest("other", (8, 1)) == (0, {})


def test_a_run_like_another_but_for_one_segment_is_not_kept() -> None:
    prefixes = Prefixes()
    prefixes.keep("window", (1, 1, 1), {})
    prefixes.keep("window", (2, 1, 1), {})
    assert prefixes.longest("window", (2, 1, 1))[0] == 0


def test_no_room_on_disk_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OutputError, match="no room"):
        Prefixes(0).keep("window", (0,), {(0, 0): np.zeros(4)})


@pytest.mark.slow
def test_a_search_without_room_keeps_what_it_has(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("sensitivity", LLAMA, "--by", "kind", "--windows", 1, "--window-tokens", 24, "--state", tmp_path)
    room = iter([2**30] * 40)
    monkeypatch.setattr(SwitchedModel.__init__, "__kwdefaults__", {**DEFAULTS, "budget": 0})
    with monkeypatch.context() as filling:
        filling.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(room, 0)))
        assert "no room" in ovpass.refuse(*run)
    (kept,) = tmp_path.iterdir()
    before = kept.read_text()
    assert before
    ovpass.succeed(*run)
    assert kept.read_text().startswith(before)
