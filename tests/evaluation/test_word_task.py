"""The multiple-choice task that scripts/word_task.py makes of the shipped text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.harness import Harness
from ovpass.evaluation.options import HarnessOptions
from ovpass.evaluation.tokenizer import Ids, Tokenizer
from scripts import word_task
from tests.cli.command import LLAMA


def encode(text: str) -> Ids:
    """A token for each word with its space, and for each mark; of words of ten letters and more two."""
    return np.arange(len(re.findall(r" ?\w{1,9}|[^\w ]", text)))


TOKENIZER = Tokenizer(encode, encode(""))


def test_the_answer_is_how_the_book_goes_on() -> None:
    prose = " ".join(read_text().split())
    items = word_task.make_items(prose, TOKENIZER, 50)
    assert len(items) == 50
    end = 0
    for item in items:
        passage, choices, answer = (item[name] for name in ("passage", "choices", "answer"))
        assert isinstance(passage, str)
        assert isinstance(choices, list)
        start = prose.index(f"{passage} {choices[int(str(answer))]}", end)
        end = start + len(passage)
        assert len(set(choices)) == word_task.CHOICES
        assert all(len(encode(f" {word}")) == 1 for word in choices)
        assert len(encode(passage)) >= word_task.FEWEST_TOKENS
    assert items == word_task.make_items(prose, TOKENIZER, 50)
    assert len({item["answer"] for item in items}) == word_task.CHOICES


def test_the_harness_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_task, "load_tokenizer", lambda _: TOKENIZER)
    assert word_task.write_task(LLAMA, tmp_path / "tasks", 20) == 20
    seen: list[str] = []
    Harness(HarnessOptions([word_task.NAME], tmp_path / "tasks"), LLAMA, progress=seen.append)
    assert seen == ["last_word: loading"]
