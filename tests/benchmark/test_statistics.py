"""Medians and ratios."""

from __future__ import annotations

import numpy as np
import pytest

from ovpass.benchmark.statistics import Ratio, paired_ratio


def test_what_slows_a_whole_round_down_cancels() -> None:
    reference = [1.0, 8.0, 2.0, 64.0, 4.0]
    assert paired_ratio([2 * sample for sample in reference], reference) == Ratio(2.0, (2.0, 2.0))


def test_too_few_rounds_have_no_interval() -> None:
    assert paired_ratio([3.0, 5.0], [1.0, 1.0]) == Ratio(4.0, None)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, truth, trials, held = np.random.default_rng(0), 1.25, 200, 0
    for seed in range(trials):
        ratio = paired_ratio(list(truth * rng.lognormal(0, 0.1, 25)), list(rng.lognormal(0, 0.1, 25)), seed)
        assert ratio.interval is not None
        held += ratio.interval[0] <= truth <= ratio.interval[1]
    # 95 % of 200 is 190, 3 standard deviations are 9; the percentile bootstrap of a median is a little off itself.
    assert held / trials == pytest.approx(0.95, abs=0.06)
