"""Whose accuracy the verdict tells."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ovpass.planning.plan import plan_from_dict, save_plans
from ovpass.reporting.accuracy import accuracy
from ovpass.reporting.accuracy_matching import matched
from ovpass.reporting.verdict import verdict
from tests.reporting.made import bench, evaluate, header, inspect, names, plan, side, tune, verify

NAMES = names(15)
PLANNED = plan(NAMES, exempt=NAMES[:3])


def evaluation(*candidates: str, files: dict[str, str] | None = None, changed: str = "") -> dict[str, Any]:
    """Of several candidates; the model of the path `changed` has been changed by ovpass."""
    run = evaluate()
    run["candidates"] = [evaluate(candidate)["candidates"][0] for candidate in candidates]
    run["run"]["files"] = files or {}
    if changed:
        run["run"]["models"].append({**header("evaluate", path=changed)["models"][0], "changed": True})
    return run


def chosen(*runs: dict[str, Any]) -> tuple[str, bool | None]:
    found = matched(side(runs))
    assert found is not None
    return found.candidate.model, found.fits


def saved_plan(planned: dict[str, Any], folder: Path) -> str:
    data = {key: planned[key] for key in ("settings", "decisions")}
    save_plans({"": plan_from_dict({**data, "model_group_size": 64})}, folder / "plan.yaml")
    return (folder / "plan.yaml").read_text(encoding="utf-8")


def test_it_is_the_candidate_with_the_settings_of_the_plan() -> None:
    assert chosen(PLANNED, evaluation("models/made@per-token", "models/made@64")) == ("models/made@64", True)
    assert chosen(PLANNED, evaluation("models/made@per-token")) == ("models/made@per-token", False)
    assert chosen(PLANNED, evaluation("models/made@64,exempt=kind:mlp.up")) == (
        "models/made@64,exempt=kind:mlp.up",
        False,
    )
    assert chosen(PLANNED, evaluation("models/made")) == ("models/made", False)


def test_the_target_s_own_group_size_is_that_of_its_sites() -> None:
    planned = plan(NAMES, group="per-token")
    planned["settings"] = {}
    assert chosen(planned, evaluation("models/made@64", "models/made@per-token"))[1]
    assert chosen(inspect(NAMES), evaluation("models/made@64", "models/made@profile=gpu-xmx"))[1]
    assert chosen(inspect(NAMES), evaluation("models/made@profile=cpu"))[1] is False


def test_it_is_the_candidate_with_the_decisions_of_the_plan(tmp_path: Path) -> None:
    one, other = ("models/made@per-token", "models/made@plan=plan.yaml")
    same, another = (saved_plan(planned, tmp_path) for planned in (PLANNED, plan(NAMES)))
    for runs in ([PLANNED], [tune(PLANNED)], [verify(PLANNED)]):
        assert chosen(*runs, evaluation(one, other, files={"plan.yaml": same})) == (other, True)
        assert chosen(*runs, evaluation(other, files={"plan.yaml": another})) == (other, False)
        assert chosen(*runs, evaluation(other, files={"plan.yaml": "{"})) == (other, None)


def test_it_is_the_model_that_the_plan_was_applied_to() -> None:
    applied = {**PLANNED, "output": "models/out", "run": header("apply")}
    compared = evaluation("models/made@per-token", "models/out", changed="models/out")
    assert chosen(applied, compared) == ("models/out", True)
    seen = {**verify(PLANNED), "run": header("verify", path="models/out")}
    assert chosen(PLANNED, seen, compared) == ("models/out", True)
    assert chosen(PLANNED, compared) == ("models/out", None)
    assert chosen(plan(NAMES), seen, compared) == ("models/out", None)


def test_what_is_of_something_else_is_said_to_be() -> None:
    cost = verdict(side([PLANNED, evaluation("models/made@per-token"), bench()]))[2]
    assert cost.state != "on"
    assert "Of another plan: models/made@per-token" in cost.details[0]
    cost = verdict(side([PLANNED, evaluation("models/made@64"), bench()]))[2]
    assert (cost.state, "models/made@64" in cost.details[0]) == ("on", True)


def test_tune_tells_the_cost_of_its_plan_and_of_no_other() -> None:
    measured = evaluation("models/made@per-token")
    own = accuracy(side([tune(PLANNED), measured]))
    assert own is not None
    assert (own.fits, "0.018" in own.sentence) == (True, True)
    other = accuracy(side([tune(PLANNED), plan(NAMES)]))
    assert other is not None
    assert other.fits is False


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_no_success(value: float) -> None:
    run = evaluation("models/made")
    figure = {"value": value}
    run["candidates"][0] |= {
        "kl": None,
        "outputs": [{"name": "logits", "cosine": figure, "relative_error": figure, "max_difference": value}],
    }
    cost = verdict(side([run, bench()]))[2]
    assert (cost.state, "logits" in cost.answer) == ("differs", True)
    run = evaluation("models/made")
    run["candidates"][0]["kl"]["mean"] = value
    assert verdict(side([run, bench()]))[2].state == "differs"
