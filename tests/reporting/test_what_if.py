"""The simulator has the plans that a budget allows, to the upper ends of their intervals."""

from __future__ import annotations

import json
from typing import Any

from ovpass.reporting.what_if import what_if
from tests.reporting.made import names, plan, side, tune

NAMES = names(15)


def tuned(*points: tuple[int, float, float]) -> Any:
    """A run of tune with plans in groups of 64: sites left out, KL, and the upper end of its interval."""
    run = tune(plan(NAMES))
    run["frontier"] = [
        {
            "group_size": 64,
            "left_out": left,
            "share": 1 - left / 15,
            "spent": {"kl": kl, "perplexity_percent": 1.0, "kl_interval": [0.0, upper]},
        }
        for left, kl, upper in points
    ]
    return run


def test_a_plan_that_needs_a_larger_budget_for_less_work_is_no_stop() -> None:
    run = tuned((6, 0.001, 0.009), (3, 0.002, 0.004), (0, 0.005, 0.01))
    run["chosen"] = run["frontier"][1]
    found = what_if(side([run]))
    assert found is not None
    assert [(stop.budget, stop.point.left_out) for stop in found.stops] == [(0.004, 3), (0.01, 0)]
    assert (found.start, found.chosen) == (0, 0)
    assert json.loads(found.data)["orders"]["64"] == list(range(14))


def test_it_starts_near_a_plan_that_is_no_stop() -> None:
    run = tuned((9, 0.001, 0.002), (3, 0.003, 0.004), (0, 0.005, 0.01))
    run["chosen"] = {**run["frontier"][1], "left_out": 4, "share": 1 - 4 / 15}
    found = what_if(side([run]))
    assert found is not None
    assert (found.start, found.chosen) == (1, None)


def test_there_is_none_without_the_order_or_a_choice() -> None:
    run = tuned((3, 0.002, 0.004), (0, 0.005, 0.01))
    assert what_if(side([{**run, "leaving": {}}])) is None
    assert what_if(side([tuned((0, 0.005, 0.01))])) is None
    assert what_if(side([plan(NAMES)])) is None
