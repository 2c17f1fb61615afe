"""`evaluate --workers`: predictions of processes are those of this one, each with the model that it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass.errors import SettingsError
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.options import Evaluation
from tests.builders import llama_model
from tests.cli.command import ENCODER, LLAMA, CommandLine
from tests.evaluation.models import folder_of

SMALL = ("--windows", 1, "--window-tokens", 48)


@pytest.mark.slow
def test_the_report_is_that_of_one_process(tmp_path: Path) -> None:
    """A candidate with other weights adds a model between the reference and itself."""
    other = folder_of(llama_model(), tmp_path / "other")
    candidates = [f"{LLAMA}@32,threshold=0", str(other), f"{LLAMA}@per-token,threshold=0"]
    one, two = (
        evaluate(LLAMA, candidates, Evaluation(windows=3, window_tokens=24, workers=workers)) for workers in (None, 2)
    )
    assert isinstance(one, TextReport)
    assert isinstance(two, TextReport)
    assert two.perplexity == pytest.approx(one.perplexity, rel=1e-5)
    for alone, judged in zip(one.candidates, two.candidates, strict=True):
        assert (judged.model, judged.how, judged.notes) == (alone.model, alone.how, alone.notes)
        assert judged.total.kl.mean.value == pytest.approx(alone.total.kl.mean.value, rel=1e-3, abs=1e-6)
        assert (judged.weights is None) == (alone.weights is None)


def test_no_worker_is_refused() -> None:
    with pytest.raises(SettingsError, match="use 1 or more"):
        Evaluation(workers=0)


def test_other_models_and_blocks_are_refused(ovpass: CommandLine) -> None:
    assert "--workers" in ovpass.refuse("evaluate", ENCODER, f"{ENCODER}@per-token", "--workers", 2, *SMALL)
    both = ("--workers", 2, "--blockwise")
    assert "--workers" in ovpass.refuse("evaluate", LLAMA, f"{LLAMA}@per-token", *both, *SMALL)
