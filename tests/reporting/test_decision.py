"""Whether to ship."""

from __future__ import annotations

import pytest

from ovpass.reporting.decision import decision
from ovpass.reporting.verdict import figures, verdict
from tests.reporting.made import Data, bench, evaluate, names, plan, side, tune, verify

NAMES = names(15)
PLANNED = plan(NAMES)
TUNED = tune(PLANNED)


def _timed(ratio: float, interval: tuple[float, float], device: str = "GPU") -> Data:
    run = {**bench(), "device": device}
    for entry in run["measurements"]:
        if entry["subject"]:
            entry["ttft_ms"].update(ratio=ratio, interval=list(interval))
    return run


def _on_the_device(**changes: object) -> Data:
    return {**verify(PLANNED), "simulated": None, **changes}


@pytest.mark.parametrize(
    ("runs", "state"),
    [
        ([TUNED, verify(PLANNED)], "on"),
        ([TUNED, verify(PLANNED, differing=NAMES[:1])], "differs"),
        ([{**TUNED, "held_out": {"kl": 0.03, "perplexity_percent": 0.9}}, verify(PLANNED)], "differs"),
        ([{**TUNED, "held_out": {"kl": float("nan"), "perplexity_percent": 0.9}}, verify(PLANNED)], "differs"),
        ([TUNED], "expected"),
        ([PLANNED, verify(PLANNED)], "expected"),
        ([PLANNED, verify(PLANNED), evaluate()], "expected"),
        ([TUNED, _on_the_device(), _timed(1.2, (1.1, 1.3))], "differs"),
        ([TUNED, _on_the_device(), _timed(1.2, (0.9, 1.5))], "on"),
        ([TUNED, verify(PLANNED), _timed(1.2, (1.1, 1.3), "CPU")], "on"),
    ],
)
def test_ships_what_is_as_planned_within_its_budget_and_no_slower(runs: list[Data], state: str) -> None:
    assert decision(side(runs)).state == state


def test_no_tick_on_a_cost_whose_time_is_of_something_else_or_longer() -> None:
    states = [
        verdict(side([TUNED, verify(PLANNED), *timed]))[2].state
        for timed in ([_timed(0.8, (0.7, 0.9))], [_timed(1.1, (1.0, 1.2))], [_timed(0.8, (0.7, 0.9), "CPU")], [])
    ]
    assert states == ["on", "expected", "expected", "expected"]


def test_figures_bear_their_intervals() -> None:
    notes = {figure.label: figure.note for figure in figures(side([PLANNED, evaluate(), _timed(0.8, (0.7, 0.9))]))}
    assert "0.01 to 0.02" in notes["KL divergence"]
    assert "+0.50 to +1.10" in notes["Perplexity"]
    assert "0.70 to 0.90" in notes["Time to first token"]
