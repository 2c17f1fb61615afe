"""Axes have numbers."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovpass.reporting.page import render
from ovpass.reporting.ticks import log_ticks
from tests.reporting.made import names, plan, side, tune


@given(st.floats(1e-12, 1e6), st.floats(1.001, 1e12))
def test_every_range_has_some_numbers_that_differ(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert 2 <= len(ticks) <= 9
    assert all(low <= tick * (1 + 1e-9) and tick <= low * factor * (1 + 1e-9) for tick, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.03), (0.02, 0.02), (1e-20, 1e20), (0.0, 1e-9)])
def test_the_frontier_has_numbers_on_both_axes(low: float, high: float) -> None:
    run = json.loads(json.dumps(tune(plan(names(15)))))
    points = run["measured"]
    for i, point in enumerate(points):
        point["spent"]["kl"] = low + (high - low) * i / (len(points) - 1)
    run["chosen"]["spent"]["kl"] = high
    run["plan"]["evidence"]["budget"] = {}
    (drawn, _) = re.findall(r"<svg.*?</svg>", render(side([run])), re.DOTALL)
    axis = drawn[drawn.index("matplotlib.axis_2") :]
    assert len(re.findall(r"<text[^>]*>\s*[\d.e-]+\s*</text>", axis)) >= 2
