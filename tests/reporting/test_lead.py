"""Which side of a comparison is better."""

from __future__ import annotations

import pytest

from ovpass.reporting.compare import compare
from ovpass.reporting.lead import BETTER, SAME, WORSE, delta, lead
from tests.reporting.made import Data, bench, evaluate, names, plan, side

NAMES = names(15)


def _judged(kl: float) -> Data:
    run = evaluate()
    run["candidates"][0]["kl"]["mean"] = kl
    return run


def _senses(left: list[Data], right: list[Data]) -> dict[str, str]:
    found = lead(side(left), side(right)).measures
    return {measure.label.partition(",")[0]: measure.delta.sense for measure in found}


@pytest.mark.parametrize(
    ("left", "right", "sign", "sense"),
    [(2, 1, -1, BETTER), (1, 2, -1, WORSE), (1, 2, 1, BETTER), (1, 1, 1, SAME), (0, 1, -1, WORSE), (0, 0, 1, SAME)],
)
def test_delta_is_of_the_second_side(left: float, right: float, sign: int, sense: str) -> None:
    assert delta(left, right, sign).sense == sense


def test_less_cost_and_more_work_are_better() -> None:
    full, part = plan(NAMES), plan(NAMES, exempt=NAMES[:5])
    assert _senses([part, _judged(0.02)], [full, _judged(0.01)]) == {"KL divergence": BETTER, "Work quantized": BETTER}
    assert lead(side([part, _judged(0.02)]), side([full, _judged(0.01)])).sentence.startswith("B is better")
    assert lead(side([full, _judged(0.01)]), side([part, _judged(0.02)])).sentence.startswith("A is better")
    assert lead(side([part, _judged(0.01)]), side([full, _judged(0.02)])).sentence.startswith("It depends")


def test_another_plans_cost_and_what_one_side_has_decide_nothing() -> None:
    planned = plan(NAMES)
    other = evaluate("models/made@per-token")
    assert "KL divergence" not in _senses([planned, _judged(0.01)], [planned, other])
    assert lead(side([evaluate()]), side([bench()])).measures == ()


def test_bars_are_of_medians_at_a_length_that_both_have() -> None:
    slow, fast = bench(), bench()
    fast["measurements"] = [entry for entry in fast["measurements"] if entry["prompt_tokens"] <= 64]
    first = next(m for m in lead(side([slow]), side([fast])).measures if m.label.startswith("Time to first token"))
    assert [bar.text for bar in first.bars] == ["32 ms", "32 ms"]
    assert "64 tokens" in first.label


def test_rows_of_numbers_bear_the_delta_and_settings_stand_apart() -> None:
    left, right = side([plan(NAMES), _judged(0.01)]), side([plan(NAMES, exempt=NAMES[:2]), _judged(0.02)])
    found = compare(left, right)
    deltas = {row.label: row.delta.sense for row in found.figures if row.delta}
    assert deltas == {"KL divergence": WORSE, "Work quantized": WORSE}
    assert {row.label for row in found.settings} >= {"Target", "Run with"}
