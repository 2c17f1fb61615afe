"""One block in memory at a time: the same bits as the whole way, and what is interrupted goes on from where it was."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovpass.errors import ModelError, OutputError
from ovpass.evaluation.options import Evaluation
from ovpass.tuning.activation_statistics import Question, activation_facts, activation_facts_by_blocks
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.sensitivity import Measure, sensitivity
from tests.builders import llama_model
from tests.cli.command import LLAMA, CommandLine
from tests.evaluation.models import folder_of

SMALL = Evaluation(windows=1, window_tokens=24)


def experiment(state: Path, executor: str = "blockwise") -> Experiment:
    return Experiment(LLAMA, evaluation=SMALL, state=state, executor=executor)


@pytest.mark.slow
def test_a_report_is_that_of_the_whole_way_bit_for_bit(tmp_path: Path) -> None:
    measure = Measure(by="block")
    found = sensitivity(experiment(tmp_path / "blocks"), measure)
    assert found == sensitivity(experiment(tmp_path / "whole", "in-process"), measure)
    assert found.peak_megabytes is not None
    assert not list((tmp_path / "blocks").glob("*.hidden"))


def test_facts_are_those_of_the_whole_model() -> None:
    (window,), ir = Experiment(LLAMA, evaluation=SMALL).windows, Experiment(LLAMA).ir
    question = Question([32], symmetric=True, half=True)
    assert activation_facts_by_blocks(ir, window, question) == activation_facts(ir, window, question)


@pytest.fixture
def small_files() -> Iterator[None]:
    """As on a full disk, nothing longer can be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_in_one_line(tmp_path: Path, small_files: None) -> None:
    subject = experiment(tmp_path)
    with pytest.raises(OutputError, match=r"hidden states cannot be kept.*make room"):
        subject.scores({}, subject.windows)
    assert not list(subject.hidden.iterdir())


@pytest.mark.slow
def test_a_run_that_ended_goes_on_at_its_block(tmp_path: Path) -> None:
    subject, steps = experiment(tmp_path), list[str]()

    def full(step: str) -> None:
        if step.startswith("block 3"):
            raise OutputError("the disk is full")

    choice = subject.choice(subject.plan)
    with pytest.raises(OutputError):
        replace(subject, progress=full).scores(choice, subject.windows)
    scores = replace(subject, progress=steps.append).scores(choice, subject.windows)
    assert [step.split(":")[0] for step in steps if step.startswith("block")] == ["block 3 of 3"]
    whole = experiment(tmp_path, "in-process").scores(choice, subject.windows)
    assert [part.kl.tolist() for part in scores] == [part.kl.tolist() for part in whole]


def test_one_block_is_refused(tmp_path: Path) -> None:
    folder = folder_of(llama_model(1), tmp_path / "model")
    subject = Experiment(folder, evaluation=SMALL, state=tmp_path, executor="blockwise")
    with pytest.raises(ModelError, match="fewer than two blocks"):
        subject.scores({}, subject.windows)


def test_other_places_to_run_are_refused(ovpass: CommandLine) -> None:
    assert "--workers" in ovpass.refuse("sensitivity", LLAMA, "--blockwise", "--workers", 2)
