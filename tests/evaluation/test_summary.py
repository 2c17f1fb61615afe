"""From scores of tokens to numbers that are reported."""

from __future__ import annotations

import numpy as np
import pytest

from ovpass.evaluation.comparison import Array, TokenScores
from ovpass.evaluation.summary import estimate, perplexity, summarize, trimmed_mean


def scores(kl: Array, nll: Array | None = None, reference: Array | None = None) -> TokenScores:
    zeros = np.zeros(len(kl))
    return TokenScores(kl, zeros if nll is None else nll, zeros if reference is None else reference, kl < 0.5)


def test_the_largest_percent_is_trimmed() -> None:
    values = np.arange(200.0)
    np.random.default_rng(0).shuffle(values)
    assert trimmed_mean(values) == np.arange(198).mean()
    assert trimmed_mean(np.arange(99.0)) == 49


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_no_number_has_no_interval(number: float) -> None:
    broken = np.full(20, number)
    assert estimate(np.mean, [broken, np.zeros(20)]).interval is None
    assert estimate(np.mean, [broken, broken]).interval is None


def test_a_summary_by_hand() -> None:
    first, second = np.linspace(0, 1, 100), np.linspace(0, 3, 100)
    nll, reference = np.full(100, 1.2), np.full(100, 1.0)
    summary = summarize([scores(first, nll, reference), scores(second, nll, reference)])
    both = np.concatenate([first, second])
    assert summary.perplexity == pytest.approx(np.exp(1.2))
    assert summary.delta_percent.value == pytest.approx(100 * (np.exp(0.2) - 1))
    assert summary.kl.mean.value == pytest.approx(1)
    assert summary.kl.median.value == pytest.approx(np.median(both))
    assert summary.kl.p99 == pytest.approx(np.percentile(both, 99))
    assert summary.kl.maximum == 3
    assert summary.kl.trimmed < summary.kl.mean.value
    assert summary.top1.value == pytest.approx(100 * (both < 0.5).mean())
    assert (summary.windows, summary.tokens) == (2, 200)
    assert perplexity([scores(first, nll, reference)], reference=True) == pytest.approx(np.e)


def test_one_window_has_no_interval() -> None:
    summary = summarize([scores(np.linspace(0, 1, 50))])
    assert summary.kl.mean.interval is None
    assert summary.kl.to_dict()["mean_interval"] is None


def test_intervals_cover_what_they_should() -> None:
    """95 % of intervals are to hold the true mean; by bootstrap over 16 windows it is a little less."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(40):
        levels = generator.normal(3.0, 1.0, 16)  # windows differ more than tokens of one
        found = estimate(np.mean, [generator.normal(level, 0.1, 30) for level in levels])
        assert found.interval is not None
        hits += found.interval[0] <= 3.0 <= found.interval[1]
    assert hits >= 32  # of 40; 35 or more are likely, fewer than 32 are not


def test_the_same_windows_give_the_same_interval() -> None:
    windows = [np.random.default_rng(seed).normal(size=20) for seed in range(4)]
    assert estimate(np.mean, windows) == estimate(np.mean, windows)
