"""Find the fastest plan within an accuracy budget: group sizes, and the sites to leave out.

For each group size that the target supports there is a series of plans that leave out sites in the order of cost per
work. Where the target can, other series give sites group sizes of their own. Costs nearly add up (measured), so what a
plan costs is expected from one that was measured, and few plans near the budget are. Each decision is measured on more
text until an interval makes it.
The plan with the most work is then checked on held-out text, and becomes less bold until it is within the budget there
too.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.evaluation.windows import Window
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import Plan
from ovpass.settings.settings import Settings
from ovpass.support.formatting import counted
from ovpass.support.store import Store
from ovpass.tuning.budget import NOTHING, Budget, Spent, share_of_work, worth
from ovpass.tuning.deadline import Deadline, TimeIsUp
from ovpass.tuning.decisions import HOPE, PATIENCE, Decisions
from ovpass.tuning.executors import Task
from ovpass.tuning.expected_costs import ExpectedCosts
from ovpass.tuning.experiment import Experiment, as_experiment
from ovpass.tuning.one_size import OneSize, choices_of
from ovpass.tuning.plan_series import PlanSeries
from ovpass.tuning.sequential import LOOKS, Sums, digest
from ovpass.tuning.site_sizes import MIXED, SiteSizes
from ovpass.tuning.tuned import Point, Tuned, size_name

_GRID = (0.0, 0.05, 0.2, 0.5)
"""Shares of sites left out in plans that are measured for a picture only."""
_CLOSE = 0.01
"""Of all work: a plan that gains no more on another one is not looked for."""
_AIM = 0.97
"""Of the budget: what the next plan is expected to cost, to the end of its interval."""
_REACH = 1.3
"""Of the cost that is expected to meet the budget: plans beyond it are not measured."""
_STEP = 0.02
_SEARCH_SHARE = 0.75
"""Of the time for the search; the rest is for held-out text."""


def tune(
    experiment: Experiment | Path | str,
    budget: Budget,
    *,
    exact: bool = False,
    minutes: float | None = None,
    frontier: bool = False,
) -> Tuned:
    """Find the fastest plan within the budget. `exact` ranks sites on all windows. An interrupted run resumes.

    A model's path stands for an experiment with all defaults. After `minutes`, None: when it is found, the search ends
    with the best plan so far. With `frontier`, plans far from the budget are measured, too, on little text.

    Raises:
        OvpassError: for an invalid model, setting or text.
        SettingsError: if the target quantizes no site at any group size, or no plan is found in time.
    """
    check_minutes(minutes)
    given = as_experiment(experiment)
    deadline = Deadline(given.progress, minutes, _SEARCH_SHARE)
    return _Search(replace(given, progress=deadline), budget, exact, deadline, frontier).run()


def check_minutes(minutes: float | None) -> None:
    """Make sure that a limit of time is one.

    Raises:
        SettingsError: if it is not.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise SettingsError(f"--minutes {minutes:g}: use a finite number above 0")


_Place = tuple[PlanSeries, int]
"""A plan by its series, and how many steps less bold than the boldest it is."""


@dataclass
class _Search:
    experiment: Experiment
    budget: Budget
    exact: bool
    deadline: Deadline
    frontier: bool
    _best: _Place | None = None
    _points: dict[_Place, Point] = field(default_factory=dict)

    def run(self) -> Tuned:
        finished = True
        try:
            self._find()
        except TimeIsUp:
            finished = False
        if self._best is None:
            raise SettingsError(
                f"--minutes {self.deadline.minutes:g}: no plan was found in that time; measurements are kept, "
                "so the same command goes on from here"
            )
        self.deadline.share = 1.0
        return self._checked(*self._best, finished=finished)

    def _find(self) -> None:
        """Measure all sites in groups of each size, which needs no ranking; then search what can gain more."""
        for whole in sorted(self._one_size, key=lambda series: -self._worth(series, 0)):
            if self._best is None or self._worth(whole, 0) > self._points[self._best].worth:
                self._allowed(whole, 0, most=PATIENCE, patience=1)
        if self._best is None or self._most > self._points[self._best].worth + _CLOSE:
            for series in self._by_promise():
                self._boldest(series)
        if self._best is None:
            self._allowed(self._one_size[0], self._one_size[0].length)
        if self.frontier:
            for one_size in self._one_size:
                for part in _GRID:
                    self._point(one_size, round(part * one_size.length), most=1)

    def _checked(self, series: PlanSeries, best: int, *, finished: bool) -> Tuned:
        """Step back until the plan holds on windows that it was not chosen by."""
        steps = best
        try:
            # All text is read before a plan is given up: this is what the result promises.
            while not self.budget.allows(spent := self._decided(series, steps, "held out", patience=LOOKS)):
                steps = self._less_bold(series, steps, self.budget.severity(spent))
            self.deadline.share = math.inf
        except TimeIsUp:
            finished, self.deadline.share = False, math.inf
            spent = self._decided(series, steps, "held out", most=1)
        point, names = self._point(series, steps, most=1), series.left_out(steps)
        return Tuned(
            plan=self._with_evidence(series.settings(steps), point, spent),
            point=point,
            held_out=spent,
            left_out=names,
            points=tuple(self._points.values()),
            for_held_out=len(names) - len(series.left_out(best)),
            finished=finished,
            holds=self.budget.allows(spent),
            leaving=self._leaving(),
        )

    def _less_bold(self, series: PlanSeries, steps: int, severity: float) -> int:
        """As many steps back as the budget is expected to take, and more if the target does not do that plan."""
        expected = self._steps_within(series, self._expected(series, steps) / severity)
        steps = max(steps + max(1, round(_STEP * series.length)), expected)
        while steps < series.length and not series.possible(steps):
            steps += 1
        return min(steps, series.length)

    def _leaving(self) -> dict[int, tuple[str, ...]]:
        """The order of each size; a search that left out none or all has not ranked them."""
        if all(steps in (0, series.length) for series, steps in self._points):
            return {}
        return {series.group_size: tuple(series.order) for series in self._one_size}

    def _with_evidence(self, settings: Settings, point: Point, held_out: Spent) -> Plan:
        evidence = {
            "budget": self.budget.limits,
            "search": point.spent.to_dict(),
            "held_out": held_out.to_dict(),
            "share_of_work": point.share,
            "tokens": {"search": point.spent.tokens, "held_out": held_out.tokens},
        }
        plan = plan_sites(self.experiment.sites, settings, self.experiment.document.metadata)
        return replace(plan, evidence=evidence)

    @cached_property
    def _one_size(self) -> list[OneSize]:
        return [OneSize(self.experiment, size, choice, self._costs) for size, choice in self._costs.choices.items()]

    @cached_property
    def _mixed(self) -> list[SiteSizes]:
        """Series in which sites have sizes of their own, by the group size of the model, where the target can."""
        choices = self._costs.choices
        bases = {size: self.experiment.under(replace(self.experiment.settings, group_size=size)) for size in choices}
        found = [SiteSizes(bases[size], size, choices, self._costs.option) for size in sorted(choices, reverse=True)]
        return [series for series in found if series.several]

    @cached_property
    def _costs(self) -> ExpectedCosts:
        return ExpectedCosts(self.experiment, choices_of(self.experiment), self.exact)

    @property
    def _most(self) -> float:
        """What no plan is worth more than: all sites in the largest groups that the target uses."""
        largest: dict[str, int] = {}
        for choice in self._costs.choices.values():
            largest |= {name: max(group, largest.get(name, 0)) for name, group in choice.items()}
        return worth(self.experiment.sites, largest, self._costs.ratios)

    def _by_promise(self) -> list[PlanSeries]:
        """All series: those first whose plans are expected to be worth most, of like ones those with one size."""
        promised: dict[PlanSeries, float] = {series: self._promise(series) for series in self._one_size}
        promised |= {series: self._promise(series) - _CLOSE for series in self._mixed}
        return sorted(promised, key=promised.__getitem__, reverse=True)

    def _promise(self, series: PlanSeries) -> float:
        return self._worth(series, self._steps_within(series, self._target(series)))

    def _boldest(self, series: PlanSeries) -> None:
        """Find the boldest plan of a series within the budget, if one can gain on the best.

        Plans that are expected to meet the budget are tried, or those in the middle where that narrows too little.
        """
        bold, safe = -1, self._gaining(series)
        if self._best and self._expected(series, max(safe - 1, 0)) > _REACH * self._target(series):
            return
        expected = True
        while safe - bold > 1:
            tried = self._steps_within(series, self._target(series)) if expected else (bold + safe) // 2
            tried, width = min(max(tried, bold + 1), safe - 1), safe - bold
            if self._worth(series, tried) <= self._least(series):
                return
            if self._allowed(series, tried):
                safe = tried
            else:
                bold = tried
            expected = 2 * (safe - bold) <= width + 1

    def _gaining(self, series: PlanSeries) -> int:
        """The steps to the first plan that gains nothing on the best one."""
        least = self._least(series)
        return bisect_left(range(series.length), -least, key=lambda steps: -self._worth(series, steps))

    def _least(self, series: PlanSeries) -> float:
        """What a plan has to be worth more than. One size need not gain much on several."""
        if self._best is None:
            return 0.0
        simpler = self._best[0].group_size == MIXED != series.group_size
        return self._points[self._best].worth + (0.0 if simpler else _CLOSE)

    def _target(self, series: PlanSeries) -> float:
        """The cost to expect of a plan that meets the budget: measured nearest to it, in this series if in any."""
        own = {place: point for place, point in self._points.items() if place[0] is series}
        severities = {place: self._severity(point.spent) for place, point in (own or self._points).items()}
        nearest = min(severities, key=lambda place: abs(math.log(severities[place])))
        return _AIM * self._expected(*nearest) / severities[nearest]

    def _severity(self, spent: Spent) -> float:
        """The cost by its limit, to the end of the interval that it has once there is enough text."""
        enough = sum(window.scored for look in self.experiment.looks["search"][:PATIENCE] for window in look)
        return self.budget.severity(spent.with_text(max(1.0, enough / max(1, spent.tokens))))

    def _steps_within(self, series: PlanSeries, cost: float) -> int:
        """The steps to the first plan that is expected to cost no more."""
        return bisect_left(range(series.length), -cost, key=lambda steps: -self._expected(series, steps))

    def _expected(self, series: PlanSeries, steps: int) -> float:
        return self._costs.cost(series.left(steps))

    def _worth(self, series: PlanSeries, steps: int) -> float:
        return worth(self.experiment.sites, series.left(steps), self._costs.ratios)

    def _allowed(self, series: PlanSeries, steps: int, *, most: int = LOOKS, patience: int = HOPE) -> bool:
        """Whether a plan is possible and within the budget; the best of those that are is kept."""
        if not series.possible(steps):
            return False
        point = self._point(series, steps, most=most, patience=patience)
        allowed = self.budget.allows(point.spent)
        if allowed and (self._best is None or point.worth > self._points[self._best].worth):
            self._best = series, steps
        return allowed

    def _point(self, series: PlanSeries, steps: int, *, most: int, patience: int = HOPE) -> Point:
        """A plan, measured in that many looks at most, and in no fewer than before."""
        place = series, steps
        if place not in self._points or most > 1:
            spent = self._decided(series, steps, "search", most=most, patience=patience)
            share = share_of_work(self.experiment.sites, series.left(steps))
            left_out = len(series.left_out(steps))
            self._points[place] = Point(series.group_size, left_out, share, self._worth(series, steps), spent)
        return self._points[place]

    def _decided(self, series: PlanSeries, steps: int, text: str, *, most: int = LOOKS, patience: int = HOPE) -> Spent:
        """What a plan costs on a text, until it is decided, or a plan that gains hardly less is within the budget."""
        choice = series.left(steps)
        if not choice:
            return NOTHING
        left_out = counted(len(series.left_out(steps)), "site")
        what = f"{text}: group size {size_name(series.group_size)} without {left_out}"

        def measured(windows: Sequence[Window], before: int) -> Sums:
            return self._sums(choice, windows, f"{what}, after {before} tokens")

        def stop(spent: Spent) -> bool:
            # Whole models are looked at before anything is ranked, in fewer looks.
            less = self._steps_within(series, self._expected(series, steps) / self.budget.severity(spent))
            return most == LOOKS and self._worth(series, steps) - self._worth(series, less) <= _CLOSE

        return self._decisions.spent(text, self.budget, measured, most=most, patience=patience, stop=stop)

    def _sums(self, choice: Mapping[str, int], windows: Sequence[Window], step: str) -> Sums:
        key = digest(json.dumps(sorted(choice.items())), windows)
        known = self._store.get(key, Sums)
        if known is None:
            self.experiment.progress(step)
            tasks = [Task(choice, [window]) for window in windows]
            known = Sums.of([scores for found in self.experiment.run(tasks) for scores in found])
            self._store.put(key, known)
        return known

    @cached_property
    def _decisions(self) -> Decisions:
        return Decisions(self.experiment.looks)

    @cached_property
    def _store(self) -> Store:
        return self.experiment.store("tune", {})
