"""Prompts are as long as asked for, and no two begin alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovpass.benchmark.prompts import Prompts
from ovpass.benchmark.workload import Workload
from ovpass.errors import TextError

WORKLOAD = Workload(lengths=(8, 33), repeats=6, warm_up=1)
BLOCK = 8


def made(prompts: Prompts) -> list[tuple[int, ...]]:
    """The beginnings of all prompts."""
    beginnings = []
    for index in range(WORKLOAD.prompts):
        tokens = (8, 33)[index % 2]
        ids = prompts.make(tokens, index)
        assert ids.shape == (1, tokens)
        assert ids.dtype == np.int64
        beginnings.append(tuple(ids[0, :BLOCK]))
    return beginnings


def test_random_prompts() -> None:
    beginnings = made(Prompts(WORKLOAD, vocabulary=320))
    assert len(set(beginnings)) == WORKLOAD.prompts == 14
    assert 64 < max(map(max, beginnings)) < 320
    assert made(Prompts(WORKLOAD, vocabulary=320)) == beginnings
    assert not set(made(Prompts(Workload(lengths=(8, 33), repeats=6, seed=1), vocabulary=320))) & set(beginnings)


def test_prompts_from_the_shortest_text_that_will_do() -> None:
    text = np.arange(33 + 13)
    beginnings = made(Prompts(WORKLOAD, text=text))
    assert len(set(beginnings)) == WORKLOAD.prompts
    assert all(np.array_equal(np.diff(ids), np.ones(BLOCK - 1)) for ids in beginnings)
    with pytest.raises(TextError, match="need 46"):
        Prompts(Workload(lengths=(8, 33), repeats=6, text=Path(__file__)), text=text[1:])
