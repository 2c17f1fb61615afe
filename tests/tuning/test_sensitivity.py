"""Sensitivity: what it measures, how it ranks, and that nothing is measured twice."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ovpass import api
from ovpass.errors import SettingsError
from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import Runner
from ovpass.settings.settings import Rule, Settings
from ovpass.tuning.experiment import Experiment, choice_of, experiment_settings
from ovpass.tuning.sensitivity import Measure, Sensitivity, SensitivityReport, sensitivity
from ovpass.tuning.switched_model import Cost
from tests.builders import llama_model
from tests.builders.planted import planted_name, save_planted
from tests.cli.command import LLAMA
from tests.evaluation.models import folder_of

SMALL = Evaluation(windows=2, window_tokens=96)
SITES = 15


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """One compiled model for all tests that only read."""
    return Experiment(LLAMA, evaluation=SMALL, state=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def exact(experiment: Experiment) -> SensitivityReport:
    return sensitivity(experiment)


def by_name(report: SensitivityReport) -> dict[str, Sensitivity]:
    return {entry.unit.name: entry for entry in report.ranking}


def divergence(experiment: Experiment, *names: str) -> float:
    """The mean KL divergence of the emulate lowering at these sites alone."""
    others = [site.name for site in experiment.sites if site.name not in names]
    exempt = Rule(match="re:" + "|".join(re.escape(name) for name in others), exempt=True)
    plan = experiment.plan_for(Settings(lowering="emulate", threshold=0, rules=(exempt,)))
    plain = Runner(Prepared(experiment.ir.read(), CLEAN, None, ""), "plain")
    changed = Runner(Prepared(api.apply(experiment.ir.read(), plan), CLEAN, None, ""), "changed")
    scores = [
        compare_logits(plain.logits(window).copy(), changed.logits(window), window) for window in experiment.windows
    ]
    return float(sum(part.kl.sum() for part in scores) / sum(len(part.kl) for part in scores))


@pytest.mark.slow
def test_costs_are_those_of_the_emulated_plan(experiment: Experiment, exact: SensitivityReport) -> None:
    for entry in (exact.ranking[0], exact.ranking[-1]):
        assert entry.costs.mean == pytest.approx(divergence(experiment, entry.unit.name), rel=1e-9)


@pytest.mark.slow
def test_savings_are_what_is_left_without_a_site(experiment: Experiment, exact: SensitivityReport) -> None:
    everything = choice_of(experiment.plan, experiment.sites)
    half = experiment.windows[:1]
    together = Cost.of(experiment.switched.scores(everything, half))
    for entry in exact.ranking[:3]:
        rest = {name: group for name, group in everything.items() if name != entry.unit.name}
        assert entry.saves == together.minus(Cost.of(experiment.switched.scores(rest, half)))
    assert exact.together == Cost.of(experiment.switched.scores(everything, experiment.windows))


def test_all_sites_are_ranked_the_costliest_first(exact: SensitivityReport) -> None:
    costs = [entry.costs.trimmed for entry in exact.ranking]
    assert costs == sorted(costs, reverse=True)
    assert len(by_name(exact)) == SITES
    assert not exact.skipped
    assert not any(entry.screened for entry in exact.ranking)
    assert all(entry.facts is not None and entry.group_size in entry.facts.errors for entry in exact.ranking)
    assert exact.tokens == 2 * 95  # the tokenizer opens with nothing, so that the first token is not scored


@pytest.mark.parametrize(("by", "units", "largest"), [("kind", 8, 2), ("block", 3, 7)])
def test_sites_switched_together(experiment: Experiment, by: str, units: int, largest: int) -> None:
    report = sensitivity(experiment, Measure(by=by))
    members = [name for entry in report.ranking for name in entry.unit.members]
    assert sorted(members) == sorted(site.name for site in experiment.sites)
    assert len(report.ranking) == units
    worst = report.ranking[0]
    assert len(worst.unit.members) == largest
    chosen = {site.name: site.k for site in experiment.sites if site.name in worst.unit.members}
    assert worst.costs == Cost.of(experiment.switched.scores(chosen, experiment.windows))
    assert worst.facts is None


@pytest.mark.slow
def test_sites_and_kinds_of_one_name_are_told_apart(tmp_path: Path) -> None:
    model = llama_model()
    name = planted_name(0, "mlp.up")
    next(node for node in model.get_ops() if node.get_friendly_name() == name).set_friendly_name("mlp.down")
    folder = folder_of(model, tmp_path / "model")
    shared = Experiment(folder, evaluation=SMALL, state=tmp_path / "state")
    site = by_name(sensitivity(shared))["mlp.down"]
    kind = by_name(sensitivity(shared, Measure(by="kind")))["mlp.down"]
    assert (site.unit.kind, len(kind.unit.members)) == ("mlp.up", 2)
    assert site.costs != kind.costs


# Fast ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_fast_ranking_screens_on_one_short_window(experiment: Experiment) -> None:
    long = replace(experiment, evaluation=Evaluation(windows=1, window_tokens=256))
    report = sensitivity(long, Measure(fast=True))
    assert all(entry.screened and entry.saves is None for entry in report.ranking)
    assert report.tokens == 6 * 256 // SITES - 1
    assert report.together == Cost.of(long.switched.scores(choice_of(long.plan, long.sites), long.windows))


@pytest.mark.slow
def test_the_worst_are_refined(experiment: Experiment, exact: SensitivityReport, tmp_path: Path) -> None:
    fast = sensitivity(replace(experiment, state=tmp_path / "a"), Measure(fast=True))
    refined = sensitivity(replace(experiment, state=tmp_path / "b"), Measure(fast=True, refine=4))
    screened = [entry.unit.name for entry in fast.ranking]
    assert {entry.unit.name for entry in refined.ranking[:4]} == set(screened[:4])
    assert [entry.unit.name for entry in refined.ranking[4:]] == screened[4:]
    assert [entry.screened for entry in refined.ranking] == [False] * 4 + [True] * (SITES - 4)
    for entry in refined.ranking[:4]:
        assert entry.costs == by_name(exact)[entry.unit.name].costs


@pytest.mark.slow
def test_a_layer_that_quantization_breaks_comes_first(tmp_path: Path) -> None:
    planted = Experiment(save_planted(tmp_path / "model", 1), evaluation=SMALL, state=tmp_path / "state")
    for measure in (Measure(), Measure(fast=True)):
        first, *others = sensitivity(planted, measure).ranking
        assert first.unit.name == planted_name(1)
        assert first.costs.trimmed > 10 * max(entry.costs.trimmed for entry in others)
        assert first.facts is not None
        assert first.facts.max_over_median > 100 > max(e.facts.max_over_median for e in others if e.facts)


# What is measured, and what is not ------------------------------------------------------------------------------------


def test_nothing_is_measured_twice(experiment: Experiment, exact: SensitivityReport) -> None:
    again = replace(experiment)
    assert sensitivity(again) == exact
    assert "_switched" not in vars(again)  # no model was compiled


@pytest.mark.slow
def test_sites_that_are_not_quantized_are_named(experiment: Experiment, exact: SensitivityReport) -> None:
    rules = (Rule(match="kind:mlp.down", exempt=True),)
    report = sensitivity(replace(experiment, settings=Settings(rules=rules)), Measure(by="block", fast=True))
    assert set(report.skipped) == {planted_name(0), planted_name(1)}
    measured = {name for entry in report.ranking for name in entry.unit.members}
    assert measured == set(by_name(exact)) - set(report.skipped)


def test_held_out_windows_share_no_text(experiment: Experiment) -> None:
    own, others = experiment.windows, experiment.held_out(3)
    assert len(others) == 3
    longer = replace(experiment, evaluation=replace(SMALL, windows=5)).windows
    assert [w.ids.tobytes() for w in (*own, *others)] == [w.ids.tobytes() for w in longer]


@pytest.mark.parametrize(
    ("settings", "profile", "named"),
    [
        (Settings(lowering="int8"), "gpu-xmx", "int8"),
        (Settings(lowering="emulate", axis=-2), "none", "axis"),
        (Settings(rules=(Rule(match="kind:lm_head", symmetric=False),)), "none", "symmetric"),
        (Settings(group_size=96), "cpu", "96"),
        (Settings(rules=(Rule(match="re:.*", exempt=True),)), "gpu-xmx", "nothing"),
        (Settings(), "npu", "npu"),
    ],
)
def test_settings_without_switches_are_refused(settings: Settings, profile: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=named):
        sensitivity(Experiment(LLAMA, experiment_settings(settings, profile), SMALL, tmp_path))


@pytest.mark.parametrize("wrong", [{"by": "colour"}, {"refine": 3}, {"fast": True, "refine": -1}])
def test_measures_that_are_none(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Measure(**wrong)  # type: ignore[arg-type]
