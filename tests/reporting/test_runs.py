"""What is taken as a run, and which runs belong together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ovpass.reporting.checks import RunError
from ovpass.reporting.page import render
from ovpass.reporting.runs import load_run
from ovpass.reporting.side import Side
from tests.reporting.made import (
    bench,
    evaluate,
    everything,
    header,
    inspect,
    loaded,
    names,
    plan,
    sensitivity,
    side,
    tune,
    verify,
)

NAMES = names(15)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "{}", '{"run": 1}', '{"run": {}}', "[" * 100_000, "\x00"],
)
def test_files_that_are_no_runs_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        load_run(path)


def test_runs_of_another_format_are_refused() -> None:
    run = inspect(NAMES)
    run["run"]["format"] = 99
    with pytest.raises(RunError, match="format 99"):
        loaded([run])


def test_commands_that_are_not_shown_are_refused() -> None:
    run = {**inspect(NAMES), "run": header("strip")}
    with pytest.raises(RunError, match="'strip'"):
        loaded([run])


def test_what_is_missing_is_named() -> None:
    run = inspect(NAMES)
    del run["sites"][3]["kind"]
    with pytest.raises(RunError, match="kind"):
        loaded([run])


def test_measurements_of_unnamed_models_are_refused() -> None:
    run = bench()
    run["measurements"][0]["subject"] = 7
    with pytest.raises(RunError, match="does not name"):
        loaded([run])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_environment", {"LD_PRELOAD": "evil.so"}),
        ("run_environment", {"X; rm": "a b"}),
        ("run_properties", {"INFERENCE_PRECISION_HINT": "f32\nrm"}),
    ],
)
def test_variables_that_no_plan_has_are_refused(key: str, value: dict[str, str]) -> None:
    """A page shows them to be typed."""
    with pytest.raises(RunError, match=key):
        loaded([{**plan(NAMES), key: value}])


@pytest.mark.parametrize("settings", [{"rules": 3}, {"rules": [None]}, {"group_size": "wide"}, {"rule": []}])
def test_settings_that_are_none_are_refused(settings: dict[str, Any]) -> None:
    planned, tuned = plan(NAMES), tune(plan(NAMES))
    planned["settings"] = tuned["plan"]["settings"] = settings
    for run in (planned, tuned):
        with pytest.raises(RunError, match="settings"):
            loaded([run])


def test_runs_that_contradict_themselves_are_refused() -> None:
    def refused(run: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
        holder = run
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = value
        with pytest.raises(RunError):
            loaded([run])

    seen = verify(plan(NAMES))
    refused(verify(plan(NAMES)), ("ok",), False)
    refused(verify(plan(NAMES), differing=NAMES[:1]), ("ok",), True)
    refused(verify(plan(NAMES)), ("sites", 0, "found"), "not quantized")
    refused(verify(plan(NAMES)), ("sites", 0, "found"), -7)
    refused({**seen, "ok": False}, ("mismatches",), [{**seen["sites"][0], "name": "none", "reason": ""}])
    refused(plan(NAMES), ("decisions", 0, "action"), "explode")
    refused(plan(NAMES), ("decisions", 0, "group_size"), 0)
    refused(plan(NAMES), ("decisions", 1, "name"), NAMES[0])
    refused(tune(plan(NAMES)), ("chosen", "share"), 7.5)
    refused(tune(plan(NAMES)), ("chosen", "left_out"), -3)


def test_models_are_not_mixed() -> None:
    other = plan(NAMES)
    other["run"] = header("plan", sites="other", path="models/other")
    with pytest.raises(RunError, match=r"models/other.*models/made|models/made.*models/other"):
        side([inspect(NAMES), other])


def test_weights_tell_models_apart_unless_they_were_requantized() -> None:
    other = plan(NAMES)
    other["run"]["models"][0]["weights"] = "another"
    with pytest.raises(RunError, match="different models"):
        side([inspect(NAMES), other])
    other["run"]["models"][0]["weights"] = None
    assert side([inspect(NAMES), other]).sites


def test_an_evaluation_may_have_another_reference() -> None:
    run = evaluate()
    reference = {"path": "models/f16", "sites": None, "weights": None, "changed": False}
    run["run"]["models"].insert(0, reference)
    assert side([inspect(NAMES), run]).evaluations
    run["run"]["models"][1]["sites"] = "other"
    with pytest.raises(RunError, match="different models"):
        side([inspect(NAMES), run])


def _compared(reference: str, candidate: str) -> dict[str, Any]:
    """An evaluation of two models."""
    run = evaluate(f"models/{candidate}")
    run["run"]["models"] = [
        header("evaluate", sites=name, path=f"models/{name}")["models"][0] for name in (reference, candidate)
    ]
    return run


def test_it_is_candidates_that_have_to_be_the_model_and_not_the_reference() -> None:
    """However many others an evaluation or a benchmark compares with."""
    made, other = (plan(NAMES) for _ in range(2))
    other["run"] = header("plan", sites="b", path="models/b")
    made["run"] = header("plan", sites="a", path="models/a")
    with pytest.raises(RunError, match="different models"):
        side([made, _compared("a", "b")])
    assert side([other, _compared("a", "b")]).title == "b"
    timed = {**bench(("models/b",)), "run": header("bench", sites="b", path="models/b")}
    assert side([_compared("a", "b"), timed]).title == "b"
    timed["run"] = header("bench", sites="c", path="models/c")
    with pytest.raises(RunError, match="different models"):
        side([_compared("a", "b"), timed])


def test_two_plans_are_not_shown_as_one() -> None:
    with pytest.raises(RunError, match="--against"):
        side([plan(NAMES), plan(NAMES)])
    assert len(side([evaluate(), evaluate()]).evaluations) == 2


def test_apply_brings_its_plan_and_what_the_plugin_did() -> None:
    planned = plan(NAMES, exempt=NAMES[:1])
    run = {**planned, "verify": {k: v for k, v in verify(planned).items() if k != "run"}, "run": header("apply")}
    made = side([run])
    assert made.verified is not None
    assert [site.found for site in made.sites][:2] == ["not quantized", "64"]


def test_sensitivity_by_block_is_not_spread_over_sites() -> None:
    run = sensitivity(NAMES)
    run["by"] = "block"
    assert all(site.cost is None for site in side([inspect(NAMES), run]).sites)


_RUNS = everything(NAMES, exempt=NAMES[:2], differing=NAMES[2:3])
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**65), st.floats(), st.text(max_size=5), st.just([]), st.just({})
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data[:2]) if isinstance(data, list) else ()
    return [place for key, value in items for place in [(*path, key), *_places(value, (*path, key))]]


@pytest.mark.slow
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.data())
def test_damage_is_refused_or_shown_but_never_crashes(data: st.DataObject) -> None:
    """Charts are drawn elsewhere: each takes a second."""
    number = data.draw(st.integers(0, 4))
    runs = json.loads(json.dumps(_RUNS[:5]))
    place = data.draw(st.sampled_from(_places(runs[number])))
    holder = runs[number]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(_VALUES)
    try:
        page = render(Side.of(loaded(runs)))
    except RunError:
        return
    assert page.endswith("</html>")


@pytest.mark.slow
@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0, -1.0])
def test_charts_bear_numbers_that_cannot_be_drawn(number: float) -> None:
    runs = json.loads(json.dumps(_RUNS[5:]))
    for point in runs[0]["measured"][:2]:
        point["spent"]["kl"] = number
        point["share"] = number if 0 <= number <= 1 else float("nan")
    runs[0]["chosen"] = runs[0]["measured"][0]
    runs[0]["plan"]["evidence"]["budget"]["max_kl"] = number
    runs[1]["measurements"][0]["ttft_ms"]["median"] = number
    runs[1]["measurements"][0]["ttft_ms"]["samples"] = [number]
    assert render(side(runs)).count("<svg") == 6
