"""How a text is cut into windows, and which of their tokens are scored."""

from __future__ import annotations

import numpy as np
import pytest

from ovpass.errors import SettingsError, TextError
from ovpass.evaluation.options import WindowOptions
from ovpass.evaluation.tokenizer import Ids, Tokenizer
from ovpass.evaluation.windows import Window, make_windows


def numbering(*prefix: int) -> Tokenizer:
    """The tokens of a text are 100, 101, ... one for each character."""

    def encode(text: str) -> Ids:
        return np.arange(100, 100 + len(text), dtype=np.int64)

    return Tokenizer(encode, np.array(prefix, np.int64))


def cut(length: int, options: WindowOptions, *prefix: int) -> list[Window]:
    return make_windows("x" * length, numbering(*prefix), options)


def targets(windows: list[Window]) -> list[int]:
    return [int(token) for window in windows for token in window.targets]


def test_disjoint_windows_score_all_but_their_first_token() -> None:
    windows = cut(12, WindowOptions(3, 4))
    assert [window.ids.tolist() for window in windows] == [
        [100, 101, 102, 103],
        [104, 105, 106, 107],
        [*range(108, 112)],
    ]
    assert targets(windows) == [101, 102, 103, 105, 106, 107, 109, 110, 111]


def test_a_prefix_opens_every_window_and_the_first_token_is_scored_too() -> None:
    windows = cut(12, WindowOptions(4, 4), 1)
    assert all(window.ids[0] == 1 and len(window.ids) == 4 for window in windows)
    assert targets(windows) == [*range(100, 112)]


@pytest.mark.parametrize("prefix", [(), (1,), (1, 2)])
@pytest.mark.parametrize("stride", [1, 3, 5])
def test_overlapping_windows_score_each_token_once(stride: int, prefix: tuple[int, ...]) -> None:
    windows = cut(40, WindowOptions(4, 8, stride), *prefix)
    body = 8 - len(prefix)
    last = 100 + body + 3 * stride
    assert targets(windows) == [*range(100 if prefix else 101, last)]


def test_skipped_windows_share_no_text_with_others() -> None:
    first, second = cut(40, WindowOptions(2, 8)), cut(40, WindowOptions(2, 8, skip=2))
    assert {int(i) for window in first for i in window.ids}.isdisjoint(int(i) for window in second for i in window.ids)
    assert second[0].ids[0] == 116


def test_a_text_may_be_just_long_enough() -> None:
    assert len(cut(12, WindowOptions(3, 4))) == 3
    with pytest.raises(TextError, match="11 tokens"):
        cut(11, WindowOptions(3, 4))


def test_a_window_must_hold_more_than_the_prefix() -> None:
    with pytest.raises(SettingsError):
        cut(40, WindowOptions(1, 3), 1, 2)


@pytest.mark.parametrize(
    "numbers", [{"count": 0}, {"tokens": 1}, {"skip": -1}, {"stride": 0}, {"tokens": 8, "stride": 9}]
)
def test_numbers_that_make_no_windows(numbers: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        WindowOptions(**numbers)
