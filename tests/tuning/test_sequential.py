"""Intervals that hold at every look, and text that the search and held-out text do not share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.windows import Window
from ovpass.tuning.budget import NOTHING, Budget, Spent
from ovpass.tuning.sequential import LOOKS, Sums, looks, mean_beside, mean_of

RNG = np.random.default_rng(16)
TOKENS = 255


def scores(change: np.ndarray) -> TokenScores:
    zeros = np.zeros(len(change))
    return TokenScores(np.abs(change), change, zeros, zeros)


def test_the_mean_is_that_of_all_tokens() -> None:
    parts = [RNG.normal(size=size) for size in (255, 95, 1, 2)]
    sums = Sums.of([scores(part) for part in parts])
    everything = np.concatenate(parts)
    assert sum(sums.tokens) == len(everything)
    assert mean_of(sums.change, sums.tokens).value == pytest.approx(everything.mean(), rel=1e-9)
    assert Sums.of([scores(part) for part in parts[:2]]) + Sums.of([scores(part) for part in parts[2:]]) == sums


def test_intervals_hold_at_all_looks_for_tokens_that_depend_on_each_other() -> None:
    """Neighbors share half of what they are made of. In 95 % of cases no look may miss the mean, which is 0.

    Of 200 cases 10 are expected to miss one at most; 20 would be three standard deviations above that.
    """
    missed = 0
    for _ in range(200):
        noise = RNG.normal(size=(2 ** (LOOKS - 1) * 2, TOKENS + 1))
        windows = Sums.of([scores(row[1:] + row[:-1]) for row in noise])
        per_window = len(windows.tokens) // len(noise)
        ends = [2 * 2**look * per_window for look in range(LOOKS)]
        intervals = [mean_of(windows.change[:end], windows.tokens[:end]).interval for end in ends]
        missed += any(interval is None or not interval[0] <= 0 <= interval[1] for interval in intervals)
    assert missed <= 20


def test_a_choice_beside_another_one_needs_less_text() -> None:
    """They differ by a tenth of what is hard for both. Of 200 cases 2 are expected to miss the mean at one look."""
    missed, narrower = 0, []
    for _ in range(200):
        hard = RNG.normal(size=400)
        tokens = [32] * len(hard)
        sums = (hard + RNG.normal(scale=0.1, size=len(hard)))[:50].tolist()
        alone, beside = mean_of(sums, tokens[:50]).interval, mean_beside(sums, hard.tolist(), tokens).interval
        assert alone is not None
        assert beside is not None
        missed += not beside[0] <= 0 <= beside[1]
        narrower.append((beside[1] - beside[0]) / (alone[1] - alone[0]))
    assert missed <= 8  # four standard deviations above 2
    assert np.median(narrower) == pytest.approx(np.hypot(0.1, np.sqrt(50 / 400)), rel=0.1)


def test_a_choice_beside_one_that_has_nothing_to_do_with_it() -> None:
    """The interval is the same as without, but for one degree of freedom less."""
    sums, other = RNG.normal(size=(2, 400)).tolist()
    tokens = [32] * 400
    alone, beside = mean_of(sums[:100], tokens[:100]), mean_beside(sums[:100], other, tokens)
    assert alone.interval is not None
    assert beside.interval is not None
    assert beside.value == pytest.approx(alone.value, abs=0.3 * (alone.interval[1] - alone.interval[0]))
    assert beside.interval[1] - beside.interval[0] == pytest.approx(alone.interval[1] - alone.interval[0], rel=0.1)


def test_more_text_narrows_the_interval() -> None:
    few, many = (Sums.of([scores(RNG.normal(size=TOKENS)) for _ in range(count)]) for count in (2, 32))
    widths = []
    for sums in (few, many):
        interval = mean_of(sums.change, sums.tokens).interval
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert widths[1] < widths[0] / 3  # the square root of 16 is 4, and chance takes some of it


def test_decides_by_the_ends_of_the_interval() -> None:
    budget = Budget(max_perplexity_percent=0.5)
    assert budget.allows(Spent(1.0, 0.3, None, (0.1, 0.5)))
    near = Spent(1.0, 0.3, None, (0.1, 0.6))
    assert not budget.allows(near)
    assert not budget.excludes(near)
    assert budget.excludes(Spent(1.0, 0.9, None, (0.6, 1.2)))
    assert budget.excludes(Spent(float("nan"), float("nan")))
    assert not budget.allows(Spent(0.0, 0.0))
    assert Budget(max_kl=1e-12, max_perplexity_percent=1e-12).allows(NOTHING)


def test_a_single_token_has_no_interval() -> None:
    sums = Sums.of([scores(np.ones(1))])
    assert Spent.of(sums).perplexity_interval is None


@given(st.integers(1, 3), st.integers(0, 40))
def test_search_and_held_out_share_no_text(size: int, later: int) -> None:
    windows = [Window(np.array([number]), 1) for number in range(size + later)]
    dealt = looks(windows[:size], windows[size:])
    numbers = {text: [int(window.ids[0]) for look in added for window in look] for text, added in dealt.items()}
    assert not set(numbers["search"]) & set(numbers["held out"])
    assert dealt["search"][0] == windows[:size]
    assert sorted(numbers["search"] + numbers["held out"]) == list(range(size + later))
