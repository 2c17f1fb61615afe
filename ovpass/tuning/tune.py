"""Find the fastest plan within an accuracy budget: group sizes, and the sites to leave out.

For each group size that the target supports, a bisection leaves out sites in the order of cost per work until the rest
is within the budget. Costs nearly add up (measured). Where the target can, another bisection gives sites group sizes of
their own. Each decision is measured on more text until an interval makes it.
The plan with the most work is then checked on held-out text, and leaves out more sites until it is within the budget
there too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.evaluation.windows import Window
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.settings.settings import Rule, Settings
from ovpass.support.formatting import counted
from ovpass.support.store import Store
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.tuning.activation_statistics import ActivationFacts
from ovpass.tuning.budget import NOTHING, Budget, Spent, gain, share_of_work, worth
from ovpass.tuning.deadline import Deadline, TimeIsUp
from ovpass.tuning.decisions import Decisions
from ovpass.tuning.executors import Task
from ovpass.tuning.experiment import Experiment, as_experiment
from ovpass.tuning.sensitivity import Measure, Sensitivity, sensitivity
from ovpass.tuning.sequential import LOOKS, Sums, digest, looks
from ovpass.tuning.site_sizes import MIXED, Option, SiteSizes
from ovpass.tuning.tuned import Point, Tuned, size_name

CANDIDATES = (PER_TOKEN, 32, 64, 128, 256)
"""Of those with the same effect the first counts: what zero points cap at 32 is called 32."""
_GRID = (0.0, 0.05, 0.2, 0.5)
_STEP = 0.02
_SEARCH_SHARE = 0.75
"""Of the time for the search; the rest is for held-out text."""


def tune(
    experiment: Experiment | Path | str, budget: Budget, *, exact: bool = False, minutes: float | None = None
) -> Tuned:
    """Find the fastest plan within the budget. `exact` ranks sites on all windows. An interrupted run resumes.

    A model's path stands for an experiment with all defaults. After `minutes`, None: when it is found, the search ends
    with the best plan so far.

    Raises:
        OvpassError: for an invalid model, setting or text.
        SettingsError: if the target quantizes no site at any group size, or no plan is found in time.
    """
    check_minutes(minutes)
    given = as_experiment(experiment)
    deadline = Deadline(given.progress, minutes, _SEARCH_SHARE)
    return _Search(replace(given, progress=deadline), budget, exact, deadline).run()


def check_minutes(minutes: float | None) -> None:
    """Make sure that a limit of time is one.

    Raises:
        SettingsError: if it is not.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise SettingsError(f"--minutes {minutes:g}: use a finite number above 0")


@dataclass
class _Search:
    experiment: Experiment
    budget: Budget
    exact: bool
    deadline: Deadline
    _best: tuple[int, int] | None = None
    _points: dict[tuple[int, int], Point] = field(default_factory=dict)
    """By the group size, and how much less bold than the boldest plan.

    A negative number stands for plans in which sites may have smaller groups than the model, which has its opposite.
    """

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
        """Decide for each group size how many sites to leave out. What needs no ranking comes first."""
        for size in self._choices:
            self._allowed(size, 0)
        for size in sorted(self._choices, key=lambda size: -self._worth(size, 0)):
            self._fewest(size)
        for size in self._own:
            self._fewest(-size)
        for size in self._choices:
            for count in self._grid(size):
                self._point(size, count, 1)

    def _checked(self, size: int, best: int, *, finished: bool) -> Tuned:
        """Take bolder steps back until the plan holds on windows that it was not chosen by."""
        count, total = best, self._length(size)
        try:
            while not self.budget.allows(spent := self._decided(size, count, "held out")):
                count = self._less_bold(size, count, max(1, round(_STEP * total)))
            self.deadline.share = math.inf
        except TimeIsUp:
            finished, self.deadline.share = False, math.inf
            spent = self._decided(size, count, "held out", 1)
        point, held = self._point(size, count, 1), self.budget.allows(spent)
        plan, names = self._with_evidence(size, count, spent), self._names(size, count)
        more = len(names) - len(self._names(size, best))
        points = tuple(self._points.values())
        return Tuned(plan, point, spent, names, points, more, finished, held, self._leaving(points))

    def _leaving(self, points: Sequence[Point]) -> dict[int, tuple[str, ...]]:
        """The order of each size; a search that left out none or all has not ranked them."""
        of_one_size = [point for point in points if point.group_size != MIXED]
        if all(point.left_out in (0, len(self._choices[point.group_size])) for point in of_one_size):
            return {}
        return {size: tuple(names) for size, names in self._order.items()}

    def _less_bold(self, size: int, count: int, step: int) -> int:
        """So many steps back, and more if the target does not do that."""
        count = min(self._length(size), count + step)
        while size < 0 and not self._own[-size].possible(count):
            count += 1
        return count

    def _with_evidence(self, size: int, count: int, held_out: Spent) -> Plan:
        point = self._point(size, count, 1)
        evidence = {
            "budget": self.budget.limits,
            "search": point.spent.to_dict(),
            "held_out": held_out.to_dict(),
            "share_of_work": point.share,
            "tokens": {"search": point.spent.tokens, "held_out": held_out.tokens},
        }
        settings = self._settings_of(size, count)
        plan = plan_sites(self.experiment.sites, settings, self.experiment.document.metadata)
        return replace(plan, evidence=evidence)

    @cached_property
    def _decisions(self) -> Decisions:
        """On the windows that each look adds, for the search and for held-out text."""
        first = self.experiment.windows
        return Decisions(self.budget, looks(first, self.experiment.later(len(first), (2**LOOKS - 1) * len(first))))

    @cached_property
    def _choices(self) -> dict[int, dict[str, int]]:
        """For each candidate the group sizes that the target would really use; those with the same effect once."""
        found: dict[int, dict[str, int]] = {}
        reasons = []
        for size in CANDIDATES:
            try:
                plan = self.experiment.plan_for(self._settings(size, ()))
                chosen = self.experiment.choice(plan)
            except SettingsError as error:
                reasons.append(str(error))
                continue
            reasons += [decision.reason for decision in plan.decisions]
            if chosen and chosen not in found.values():
                found[size] = chosen
        if not found:
            raise SettingsError(f"{self.experiment.ir.xml}: no group size quantizes anything: {reasons[0]}")
        return found

    @cached_property
    def _ratios(self) -> dict[str, float]:
        """Times expected of sites by the default's, where the settings ask for what is faster."""
        plan = self.experiment.plan_for(self._settings(next(iter(self._choices)), ()))
        return {d.name: d.expected_ratio for d in plan.chosen(QUANTIZE) if d.expected_ratio is not None}

    @cached_property
    def _order(self) -> dict[int, list[str]]:
        """For each group size its sites, those first that cost most for the work they do."""
        prices = {size: self._prices(choice) for size, choice in self._choices.items()}
        return {size: sorted(found, key=found.__getitem__, reverse=True) for size, found in prices.items()}

    def _prices(self, choice: Mapping[str, int]) -> dict[str, float]:
        """KL divergence for the work of each site in groups of these sizes."""
        sites = {site.name: site for site in self.experiment.sites}
        return {
            name: self._cost(name, group) / gain(sites[name], group, self._ratios.get(name))
            for name, group in choice.items()
        }

    def _cost(self, name: str, group: int) -> float:
        """KL divergence of a site alone in groups of that size."""
        entry = self._ranking.get(name)
        measured = self._choices[self._widest].get(name, group)
        return 0.0 if entry is None else entry.costs.trimmed * _ratio(entry.facts, group, measured)

    @cached_property
    def _widest(self) -> int:
        """The group size at which most sites are quantized, the largest of these: costs are measured at that one."""
        return max(self._choices, key=lambda size: (len(self._choices[size]), size))

    @cached_property
    def _ranking(self) -> dict[str, Sensitivity]:
        base = self.experiment.under(self._settings(self._widest, ()))
        sizes = tuple({group for choice in self._choices.values() for group in choice.values()})
        report = sensitivity(base, Measure(fast=not self.exact, groups=sizes))
        return {entry.unit.name: entry for entry in report.ranking}

    def _fewest(self, size: int) -> None:
        """Find how few sites have to be left out at that group size, unless that gains less than the best plan."""
        gaining = [count for count in range(1, self._length(size) + 1) if self._gains(size, count)]
        if not gaining or not self._allowed(size, gaining[-1]):
            return
        low, high = 1, gaining[-1]
        while low < high:
            middle = (low + high) // 2
            if self._allowed(size, middle):
                high = middle
            else:
                low = middle + 1

    def _gains(self, size: int, count: int) -> bool:
        return self._best is None or self._worth(size, count) > self._points[self._best].worth

    def _allowed(self, size: int, count: int) -> bool:
        """Whether a plan is possible and within the budget; the best of those that are is kept."""
        if size < 0 and not self._own[-size].possible(count):
            return False
        point = self._point(size, count, LOOKS)
        allowed = self.budget.allows(point.spent)
        if allowed and (self._best is None or point.worth > self._points[self._best].worth):
            self._best = size, count
        return allowed

    def _grid(self, size: int) -> list[int]:
        return [round(part * len(self._choices[size])) for part in _GRID]

    def _point(self, size: int, count: int, most: int) -> Point:
        """A plan, measured until it is decided, in that many looks at most, and no fewer than before."""
        key = size, count
        if key not in self._points or most > 1:
            spent = self._decided(size, count, "search", most)
            share = share_of_work(self.experiment.sites, self._left(size, count))
            left_out = len(self._names(size, count))
            self._points[key] = Point(max(size, MIXED), left_out, share, self._worth(size, count), spent)
        return self._points[key]

    def _worth(self, size: int, count: int) -> float:
        return worth(self.experiment.sites, self._left(size, count), self._ratios)

    def _gone(self, size: int, count: int) -> list[str]:
        """The first name of a size's order is the first to go. Nothing is ranked where no order is needed."""
        if count in (0, len(self._choices[size])):
            return list(self._choices[size]) if count else []
        return self._order[size][:count]

    def _left(self, size: int, count: int) -> dict[str, int]:
        """What stays quantized: with sizes of their own, what so many changes less than all of them leave."""
        if size < 0:
            return self._own[-size].left(count)
        gone = set(self._gone(size, count))
        return {name: group for name, group in self._choices[size].items() if name not in gone}

    def _length(self, size: int) -> int:
        """How often a plan of that size can be made less bold before nothing is left."""
        return len(self._own[-size].changes if size < 0 else self._choices[size])

    def _names(self, size: int, count: int) -> tuple[str, ...]:
        """The sites left out, in the order of the model."""
        left = self._left(size, count)
        possible = set().union(*self._choices.values()) if size < 0 else self._choices[size]
        return tuple(s.name for s in self.experiment.sites if s.name in possible and s.name not in left)

    @cached_property
    def _own(self) -> dict[int, SiteSizes]:
        """Plans in which sites have sizes of their own, by the group size of the model, where the target can."""
        found = {}
        for size in sorted(self._choices, reverse=True):
            under = self.experiment.under(self._settings(size, ()))
            own = SiteSizes(under, size, self._choices, self._option)
            if own.several:
                found[size] = own
        return found

    def _option(self, setting: int, groups: Mapping[str, int]) -> Option:
        """What sites that share a setting gain and cost in groups of these sizes."""
        sites = {site.name: site for site in self.experiment.sites}
        gains = sum(gain(sites[name], group, self._ratios.get(name)) for name, group in groups.items())
        return Option(setting, gains, sum(self._cost(name, group) for name, group in groups.items()))

    def _decided(self, size: int, count: int, text: str, most: int = LOOKS) -> Spent:
        """What a plan costs, on more text until it is within the budget or beyond it, or there is no more."""
        choice = self._left(size, count)
        if not choice:
            return NOTHING
        what = (
            f"{text}: group size {size_name(max(size, MIXED))} without {counted(len(self._names(size, count)), 'site')}"
        )
        return self._decisions.spent(
            text, lambda windows, tokens: self._sums(choice, windows, f"{what}, after {tokens} tokens"), most
        )

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
    def _store(self) -> Store:
        return self.experiment.store("tune", {})

    def _settings(self, size: int, left_out: Sequence[str]) -> Settings:
        rules = tuple(Rule(match=name, exempt=True) for name in left_out)
        return replace(self.experiment.settings, group_size=size, rules=(*rules, *self.experiment.settings.rules))

    def _settings_of(self, size: int, count: int) -> Settings:
        names = self._names(size, count)
        if size > 0:
            return self._settings(size, names)
        return self._own[-size].settings(count, names)


def _ratio(facts: ActivationFacts | None, group: int, measured: int) -> float:
    """How much smaller the rounding error is in groups of another size; the cost follows its energy."""
    errors: Mapping[int, float] = {} if facts is None else facts.errors
    if not errors.get(measured) or group not in errors:
        return 1.0
    return errors[group] / errors[measured]
