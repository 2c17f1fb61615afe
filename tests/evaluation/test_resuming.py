"""An interrupted evaluation goes on where it was, to the same numbers; a finished one leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovpass.errors import OutputError, SettingsError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.kept_scores import KeptScores, WindowScores, name_of_comparison
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.windows import Window
from tests.builders import llama_model
from tests.cli.command import ENCODER, LLAMA
from tests.evaluation.models import folder_of

SMALL = Evaluation(windows=3, window_tokens=24)
FIRST, SECOND = f"{LLAMA}@32,threshold=0", f"{LLAMA}@per-token,threshold=0"


class Steps:
    """Progress that notes its steps, and raises at the one that has `end` in it."""

    def __init__(self, *end: str) -> None:
        self.end, self.seen = end, list[str]()

    def __call__(self, step: str) -> None:
        self.seen.append(step)
        if self.end and all(words in step for words in self.end):
            raise KeyboardInterrupt

    def windows_of(self, who: str) -> list[str]:
        return [step.rpartition(": ")[2] for step in self.seen if who in step and ": window" in step]


def timeless(report: object) -> TextReport:
    assert isinstance(report, TextReport)
    return replace(report, candidates=tuple(replace(judged, seconds=0) for judged in report.candidates))


@pytest.mark.slow
def test_what_is_finished_is_not_measured_again(tmp_path: Path) -> None:
    """The second candidate has other weights, so that a third model runs."""
    other = folder_of(llama_model(), tmp_path / "other")
    expected = timeless(evaluate(LLAMA, [FIRST, str(other)], replace(SMALL, state=tmp_path / "whole")))
    how, interrupted, steps = replace(SMALL, state=tmp_path / "state"), Steps("candidate 2", "other: window 2"), Steps()
    with pytest.raises(KeyboardInterrupt):
        evaluate(LLAMA, [FIRST, str(other)], how, interrupted)
    assert timeless(evaluate(LLAMA, [FIRST, str(other)], how, steps)) == expected
    assert steps.windows_of("candidate 1") == []
    assert steps.windows_of(f"{LLAMA}: ") == ["window 2 of 3", "window 3 of 3"]
    assert steps.windows_of("(clean)") == ["window 2 of 3", "window 3 of 3"]
    assert steps.windows_of("other: ") == ["window 2 of 3", "window 3 of 3"]
    assert [file for name in ("state", "whole") for file in (tmp_path / name).iterdir()] == []


@pytest.mark.slow
def test_a_killed_run_with_workers_resumes(tmp_path: Path) -> None:
    how, steps = Evaluation(windows=2, window_tokens=24, workers=2, state=tmp_path), Steps()
    code = (
        "import os, sys; from pathlib import Path; import ovpass;"
        "progress = lambda step: os.kill(os.getpid(), 9) if 'candidate 2' in step else None;"
        "ovpass.evaluate(sys.argv[1], sys.argv[3:], ovpass.Evaluation(windows=2, window_tokens=24, workers=2,"
        "state=Path(sys.argv[2])), progress)"
    )
    killed = subprocess.run([sys.executable, "-c", code, LLAMA, tmp_path, FIRST, SECOND], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == [2]
    found = timeless(evaluate(LLAMA, [FIRST, SECOND], how, steps))
    alone = timeless(evaluate(LLAMA, [FIRST, SECOND], replace(how, workers=None)))
    for one, other in zip(found.candidates, alone.candidates, strict=True):
        assert one.total.kl.mean.value == pytest.approx(other.total.kl.mean.value, rel=1e-3)
    assert [step for step in steps.seen if "candidate 1" in step] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_candidate_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    folder = folder_of(llama_model(), tmp_path / "model")
    how = Evaluation(windows=1, window_tokens=24, state=tmp_path / "state")
    with pytest.raises(SettingsError, match="one chunk"):
        evaluate(folder, [f"{folder}@KV_CACHE_PRECISION=u8"], how)
    assert list((tmp_path / "state").iterdir()) == []


def test_scores_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    values = np.array([1 / 3, np.inf, np.nan, np.float32(0.1)])
    scores = TokenScores(values, values, values, np.array([0.0, 1.0, 1.0, 0.0]))
    KeptScores(tmp_path / "a.jsonl", 2).put(1, WindowScores(scores, None, scores, changed=True, seconds=0.5))
    kept = KeptScores(tmp_path / "a.jsonl", 2)
    (found,) = kept.all()
    assert kept.missing == [0]
    assert (found.weights, found.changed, found.seconds) == (None, True, 0.5)
    for name, array in vars(scores).items():
        np.testing.assert_array_equal(getattr(found.total, name), array)


@pytest.mark.parametrize("damage", ["null", '"0.1"', "3", "[[]]"])
def test_damaged_scores_are_refused(tmp_path: Path, damage: str) -> None:
    values = np.array([0.25])
    scores = TokenScores(values, values, values, values)
    path = tmp_path / "a.jsonl"
    KeptScores(path, 1).put(0, WindowScores(scores, None, None, changed=True, seconds=0.5))
    path.write_text(path.read_text().replace("[0.25]", damage, 1))
    with pytest.raises(OutputError, match=r"a\.jsonl: .*remove it"):
        KeptScores(path, 1)


def test_other_comparisons_have_other_names(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    windows = [Window(np.arange(4), 3)]
    candidates = [f"{LLAMA}{rest}" for rest in ("", "@32", "@64", "@32,profile=cpu", "@KV_CACHE_PRECISION=u8")]
    candidates += [f"{LLAMA}@kv_key=u8", f"{LLAMA}@plan={plan}", str(ENCODER)]
    plan.write_text("one")

    def name(candidate: str, cut: list[Window] = windows, chunk: int | None = None) -> str:
        return name_of_comparison(parse_candidate(str(LLAMA)), parse_candidate(candidate), cut, "CPU", chunk)

    names = [name(candidate) for candidate in candidates]
    names += [name(FIRST, [Window(np.arange(5), 3)]), name(FIRST, [Window(np.arange(4), 2)]), name(FIRST, chunk=8)]
    before = name(candidates[-2])
    plan.write_text("another")
    names.append(name(candidates[-2]))
    assert len(set(names)) == len(names)
    assert before in names
    assert names[0] == name(str(LLAMA))
