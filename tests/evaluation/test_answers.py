"""Answers compared: the numbers by hand, prompts from files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ovpass.errors import ModelError, TextError
from ovpass.evaluation.answers import compare_answers
from ovpass.evaluation.generation import Answer
from ovpass.evaluation.prompts import read_prompts
from ovpass.evaluation.sentence_encoder import SentenceEncoder
from tests.cli.command import LLAMA, CommandLine

QUICK = ("--windows", 2, "--window-tokens", 96, "--new-tokens", 8)


def answer(*ids: int) -> Answer:
    return Answer(np.array(ids, np.int64), " ".join(map(str, ids)))


def test_numbers_by_hand() -> None:
    truth = [answer(1, 2, 3, 4), answer(1, 2, 3, 4), answer(1, 2, 3, 4), answer()]
    found = [answer(1, 2, 3, 4), answer(1, 9, 3, 4), answer(1, 2), answer()]
    summary = compare_answers(["a", "b", "c", "d"], truth, found, None)
    assert (summary.prompts, summary.identical, summary.similarity) == (4, 2, None)
    assert summary.first_divergent == pytest.approx((4 + 1 + 2 + 0) / 4)
    assert summary.equal == pytest.approx((100 + 75 + 50 + 100) / 4)
    assert [pair.prompt for pair in summary.worst] == ["c", "b"]
    assert [pair.first_divergent for pair in summary.worst] == [2, 1]


def test_an_answer_where_the_reference_has_none() -> None:
    summary = compare_answers(["a"], [answer()], [answer(1)], None)
    assert (summary.identical, summary.first_divergent, summary.equal) == (0, 0, 0)


def test_prompts_of_lines_and_of_json(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("one\n\n  two words \n")
    assert read_prompts(tmp_path / "p.txt") == ["one", "two words"]
    (tmp_path / "p.jsonl").write_text('"a\\nb"\n{"prompt": "c", "id": 1}\n')
    assert read_prompts(tmp_path / "p.jsonl") == ["a\nb", "c"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n", "has no prompts"),
        (b"1\n", "line 1"),
        (b'"a"\n{"text": "b"}', "line 2"),
        (b"{", "JSON"),
        (b"\xff", "read"),
    ],
)
def test_prompts_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(TextError, match=words):
        read_prompts(path)
    with pytest.raises(TextError, match=r"none\.txt"):
        read_prompts(tmp_path / "none.txt")


@pytest.mark.slow
def test_the_command(ovpass: CommandLine, tmp_path: Path) -> None:
    prompts = tmp_path / "p.txt"
    prompts.write_text(f"short\n{'a long question about the sea in winter ' * 5}\n")
    arguments = ("evaluate", LLAMA, LLAMA, f"{LLAMA}@per-token", *QUICK, "--prompts", prompts)
    report = ovpass.succeed(*arguments, "--json").json
    itself, changed = report["candidates"]
    assert itself["answers"]["identical"] == 2
    assert (itself["answers"]["equal_tokens_percent"], itself["answers"]["worst"]) == (100, [])
    assert any("1 of 2 prompts" in note for note in changed["notes"])
    assert changed["answers"]["identical"] >= 1  # what is not quantized
    (tmp_path / "r.json").write_text(json.dumps(report))
    ovpass.succeed("report", tmp_path / "r.json", "-o", tmp_path / "r.html")
    assert "First divergent token" in (tmp_path / "r.html").read_text()


@pytest.mark.slow
def test_the_worst_side_by_side(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("What is the capital of France, and what is it known for?\n")
    arguments = ("evaluate", LLAMA, f"{LLAMA}@32,profile=cpu", *QUICK, "--prompts", tmp_path / "p.txt")
    shown = ovpass.succeed(*arguments, "--batch", 2).out
    assert "First divergent" in shown
    assert "What is the capital" in shown


@pytest.mark.slow
def test_refusals(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("short\n")
    prompts = ("--prompts", tmp_path / "p.txt")
    refused = ovpass.refuse("evaluate", LLAMA, f"{LLAMA}@per-token", *QUICK, *prompts)
    assert "nothing is quantized" in refused
    assert "no such file" in ovpass.refuse("evaluate", LLAMA, LLAMA, *prompts, "--encoder", tmp_path / "x").lower()
    assert "--prompts" in ovpass.refuse("evaluate", LLAMA, LLAMA, "--new-tokens", 3)
    assert "--batch" in ovpass.refuse("evaluate", LLAMA, LLAMA, "--batch", 3)
    assert "batch 0" in ovpass.refuse("evaluate", LLAMA, LLAMA, *prompts, "--batch", 0)
    assert "context" in ovpass.refuse("evaluate", LLAMA, LLAMA, *prompts, "--new-tokens", 10**6)


def test_a_language_model_is_no_encoder() -> None:
    with pytest.raises(ModelError, match="last_hidden_state"):
        SentenceEncoder(LLAMA)
