"""How much text a choice is measured on before it is decided, or given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ovpass.evaluation.windows import Window
from ovpass.tuning.budget import Budget, Spent
from ovpass.tuning.decisions import HOPE, PATIENCE, Decisions
from ovpass.tuning.sequential import LOOKS, Sums, looks

BUDGET = Budget(max_kl=1.0)
RUNS, TOKENS = 8, 32
"""Runs of a window, and tokens of a run."""
LIST = [Window(np.array([number]), 1) for number in range(2 * 2**LOOKS)]


def decisions() -> Decisions:
    return Decisions(looks(LIST[:2], LIST[2:]))


def of_mean(mean: float) -> Callable[[Sequence[Window], int], Sums]:
    """A choice whose runs cost 30 % more and 30 % less than that, in turn."""

    def measured(windows: Sequence[Window], before: int) -> Sums:
        assert before % (RUNS * TOKENS) == 0
        costs = [TOKENS * mean * part for _ in windows for part in (0.7, 1.3) * (RUNS // 2)]
        return Sums((TOKENS,) * len(costs), tuple(costs), tuple(costs))

    return measured


def looks_at(spent: Spent) -> int:
    return 1 + int(np.log2(spent.tokens / (2 * RUNS * TOKENS)))


@pytest.mark.parametrize("mean", [0.5, 2.0])
def test_what_is_far_from_the_budget_is_decided_at_once(mean: float) -> None:
    spent = decisions().spent("search", BUDGET, of_mean(mean))
    assert looks_at(spent) == 1
    assert BUDGET.allows(spent) == (mean < 1)
    assert BUDGET.excludes(spent) == (mean > 1)


def test_what_is_near_the_budget_is_measured_on_more_text() -> None:
    spent = decisions().spent("search", BUDGET, of_mean(0.93))
    assert looks_at(spent) > PATIENCE
    assert BUDGET.allows(spent)


def test_what_no_text_would_bring_within_the_budget_is_given_up() -> None:
    spent = decisions().spent("search", BUDGET, of_mean(1.05))
    assert looks_at(spent) == HOPE
    assert not BUDGET.allows(spent)
    assert not BUDGET.excludes(spent)


def test_the_search_stops_where_it_has_something_else() -> None:
    asked: list[Spent] = []

    def stop(spent: Spent) -> bool:
        asked.append(spent)
        return True

    spent = decisions().spent("held out", BUDGET, of_mean(0.93), stop=stop)
    assert looks_at(spent) == PATIENCE
    assert asked == [spent]


def test_a_choice_beside_another_one_needs_less_text() -> None:
    """It costs a little less for the same reasons."""
    subject = decisions()
    first = subject.spent("search", BUDGET, of_mean(0.95))
    second = subject.spent("search", BUDGET, of_mean(0.94))
    assert looks_at(first) > PATIENCE >= looks_at(second)
    assert BUDGET.allows(second)
    assert looks_at(decisions().spent("search", BUDGET, of_mean(0.94))) > PATIENCE


def test_intervals_on_more_text_shrink_towards_the_mean() -> None:
    spent = Spent(1.0, 3.0, (0.6, 1.6), None, 100)
    more = spent.with_text(4)
    assert more.kl_interval == pytest.approx((0.8, 1.3))
    assert (more.perplexity_interval, more.tokens, more.kl) == (None, 400, 1.0)


def test_severity_is_that_of_the_limit_that_is_nearest() -> None:
    both = Budget(max_kl=2.0, max_perplexity_percent=1.0)
    assert both.severity(Spent(1.0, 0.0, (0.5, 1.5), (-1.0, 0.25))) == 0.75
    assert both.severity(Spent(1.0, 0.0, (0.5, 1.5), (-1.0, 1.25))) == 1.25
    assert both.severity(Spent(1.0, 0.0, (0.5, 1.5), None)) == np.inf
    assert 0 < both.severity(Spent(0.0, -3.0, (0.0, 0.0), (-4.0, -2.0))) < 0.01


def test_what_has_to_hold_on_all_text_is_measured_on_all() -> None:
    assert looks_at(decisions().spent("held out", BUDGET, of_mean(0.5), whole=True)) == LOOKS
    assert looks_at(decisions().spent("held out", BUDGET, of_mean(2.0), whole=True)) == 1
