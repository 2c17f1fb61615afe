"""Group sizes of their own: which changes come first, and that a plan with them is what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass.evaluation.options import Evaluation
from ovpass.planning.plan import QUANTIZE
from ovpass.settings.settings import Settings
from ovpass.tuning.budget import Budget
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.site_sizes import MIXED, Option, SiteSizes, changes
from ovpass.tuning.tune import tune
from ovpass.tuning.tuned import Tuned
from tests.cli.command import LLAMA

WINDOWS = Evaluation(windows=2, window_tokens=96)
BUDGET = Budget(max_kl=2.5e-4)


def test_what_gains_most_for_its_cost_comes_first() -> None:
    cheap = [Option(32, gain=8.0, cost=1.0), Option(128, gain=10.0, cost=2.0)]
    dear = [Option(32, gain=8.0, cost=2.0), Option(128, gain=10.0, cost=2.5)]
    # Of the dear one's sizes, 32 is left out: larger groups gain as much for their cost, and more.
    assert changes({"dear": dear, "cheap": cheap}) == [("cheap", 32), ("dear", 128), ("cheap", 128)]
    assert changes({"steep": [Option(32, 1.0, 2.0), Option(64, 4.0, 3.0)]}) == [("steep", 64)]


def test_a_size_that_costs_more_and_gains_no_more_is_never_taken() -> None:
    assert changes({"site": [Option(32, 8.0, 1.0), Option(64, 8.0, 2.0), Option(128, 7.0, 0.5)]}) == [
        ("site", 128),
        ("site", 32),
    ]


def test_what_costs_nothing_comes_before_all() -> None:
    assert changes({"a": [Option(32, 9.0, 1.0)], "free": [Option(32, 1.0, 0.0)]})[0] == ("free", 32)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    experiment = Experiment(LLAMA, evaluation=WINDOWS, state=tmp_path_factory.mktemp("state"))
    return tune(experiment, BUDGET, frontier=True)


@pytest.mark.slow
def test_sizes_of_their_own_are_worth_more_than_one_for_all(tuned: Tuned) -> None:
    uniform = [p for p in tuned.points if p.group_size != MIXED and BUDGET.allows(p.spent)]
    assert tuned.point.group_size == MIXED
    assert tuned.point.worth > max(point.worth for point in uniform)
    assert tuned.point.left_out == len(tuned.left_out)


@pytest.mark.slow
def test_its_settings_make_the_same_plan(tuned: Tuned, tmp_path: Path) -> None:
    experiment = Experiment(LLAMA, evaluation=WINDOWS, state=tmp_path)
    chosen = experiment.choice(experiment.plan_for(tuned.plan.settings))
    k = {site.name: site.k for site in experiment.sites}
    assert chosen == {d.name: min(d.group_size or 0, k[d.name]) for d in tuned.plan.chosen(QUANTIZE)}
    assert len(set(chosen.values())) > 1
    spent = experiment.scores(chosen, experiment.windows)
    assert tuned.point.spent.tokens == sum(len(part.kl) for part in spent)
    alone = sum(part.kl.sum() for part in spent) / tuned.point.spent.tokens
    assert tuned.point.spent.kl == pytest.approx(alone, rel=0.1)  # a choice with more text moves the mean


def test_a_target_with_one_size_for_the_model_mixes_none(tmp_path: Path) -> None:
    def nothing(setting: int, _: object) -> Option:
        return Option(setting, 0.0, 0.0)

    for target, mixes in (("gpu-xmx", True), ("cpu", False)):
        experiment = Experiment(LLAMA, Settings(target=target), evaluation=WINDOWS, state=tmp_path)
        plans = {size: experiment.plan_for(Settings(target=target, group_size=size)) for size in (64, 32)}
        choices = {size: experiment.choice(plan) for size, plan in plans.items()}
        under = Experiment(LLAMA, Settings(target=target, group_size=64), evaluation=WINDOWS, state=tmp_path)
        assert SiteSizes(under, 64, choices, nothing).several == mixes
