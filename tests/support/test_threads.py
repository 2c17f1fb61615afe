"""Tasks in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from ovpass.support.threads import in_threads


def late(number: int) -> int:
    time.sleep(0.001 * (5 - number % 5))
    return number


def test_results_come_in_the_order_of_the_tasks() -> None:
    assert list(in_threads(partial(late, number) for number in range(20))) == list(range(20))


def test_tasks_are_taken_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    taken: list[int] = []

    def tasks() -> Iterator[Callable[[], int]]:
        for number in range(10):
            taken.append(number)
            yield partial(int, number)

    results = in_threads(tasks())
    next(results)
    assert len(taken) == 3


def test_an_error_of_a_task_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_threads([lambda: 1 // 0]))
