"""Find the fastest plan within an accuracy budget: one group size, and the sites to leave out.

For each group size that the target supports, a bisection leaves out sites in the order of cost per work until the rest
is within the budget. Costs nearly add up (measured). Each decision is measured on more text until an interval makes it.
The plan with the most work is then checked on held-out text, and leaves out more sites until it is within the budget
there too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.evaluation.windows import Window
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.settings.settings import Rule, Settings
from ovpass.support.formatting import counted
from ovpass.support.shown import Shown
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size
from ovpass.tuning.activation_statistics import ActivationFacts
from ovpass.tuning.budget import NOTHING, Budget, Spent, gain, share_of_work, worth
from ovpass.tuning.deadline import Deadline, TimeIsUp
from ovpass.tuning.executors import Task
from ovpass.tuning.experiment import Experiment, as_experiment
from ovpass.tuning.sensitivity import Measure, Sensitivity, sensitivity
from ovpass.tuning.sequential import LOOKS, Sums, looks
from ovpass.tuning.store import Store

CANDIDATES = (PER_TOKEN, 32, 64, 128, 256)
"""Of those with the same effect the first counts: what zero points cap at 32 is called 32."""
_GRID = (0.0, 0.05, 0.2, 0.5)
_STEP = 0.02
_SEARCH_SHARE = 0.75
"""Of the time for the search; the rest is for held-out text."""


@dataclass(frozen=True)
class Point:
    """A plan that was measured: the model's group size, the number of sites left out, and what it spends."""

    group_size: int
    left_out: int
    share: float
    worth: float
    spent: Spent


@dataclass(frozen=True)
class Tuned(Shown):
    """The plan, what it spends on the windows it was chosen by and on others, and all points that were measured.

    `left_out` are the sites left out; `for_held_out` is how many of them are so only for the other windows. `finished`
    tells that the time was enough, `holds` that the plan is within the budget on held-out text, to the upper bound.
    `leaving` has for each group size its sites in the order in which they are left out, if any plan leaves some out.
    """

    plan: Plan
    point: Point
    held_out: Spent
    left_out: tuple[str, ...]
    points: tuple[Point, ...]
    for_held_out: int = 0
    finished: bool = True
    holds: bool = True
    leaving: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def frontier(self) -> list[Point]:
        """The points that no other one beats in both cost and worth, the cheapest first."""
        best: list[Point] = []
        for point in sorted(self.points, key=lambda point: (point.spent.kl, -point.worth)):
            if not best or point.worth > best[-1].worth:
                best.append(point)
        return best


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
    if minutes is not None and not 0 < minutes < math.inf:
        raise SettingsError(f"--minutes {minutes:g}: use a finite number above 0")
    given = as_experiment(experiment)
    deadline = Deadline(given.progress, minutes, _SEARCH_SHARE)
    return _Search(replace(given, progress=deadline), budget, exact, deadline).run()


@dataclass
class _Search:
    experiment: Experiment
    budget: Budget
    exact: bool
    deadline: Deadline
    _best: Point | None = None
    _points: dict[tuple[int, int], Point] = field(default_factory=dict)

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
        return self._checked(self._best, finished=finished)

    def _find(self) -> None:
        """Decide for each group size how many sites to leave out. What needs no ranking comes first."""
        for size in self._choices:
            self._allowed(size, 0)
        for size in sorted(self._choices, key=lambda size: -self._worth(size, 0)):
            self._fewest(size)
        for size in self._choices:
            for count in self._grid(size):
                self._point(size, count, 1)

    def _checked(self, best: Point, *, finished: bool) -> Tuned:
        """Leave out more sites until the plan holds on windows that it was not chosen by."""
        size, count = best.group_size, best.left_out
        total = len(self._choices[size])
        try:
            while not self.budget.allows(spent := self._decided(size, count, "held out")):
                count = min(total, count + max(1, round(_STEP * total)))
            self.deadline.share = math.inf
        except TimeIsUp:
            finished, self.deadline.share = False, math.inf
            spent = self._decided(size, count, "held out", 1)
        point, held = self._point(size, count, 1), self.budget.allows(spent)
        plan, names = self._with_evidence(point, spent), self._names(size, count)
        more = count - best.left_out
        points = tuple(self._points.values())
        return Tuned(plan, point, spent, names, points, more, finished, held, self._leaving(points))

    def _leaving(self, points: Sequence[Point]) -> dict[int, tuple[str, ...]]:
        """The order of each size; a search that left out none or all has not ranked them."""
        if all(point.left_out in (0, len(self._choices[point.group_size])) for point in points):
            return {}
        return {size: tuple(names) for size, names in self._order.items()}

    def _with_evidence(self, point: Point, held_out: Spent) -> Plan:
        evidence = {
            "budget": {key: value for key, value in asdict(self.budget).items() if value is not None},
            "search": point.spent.to_dict(),
            "held_out": held_out.to_dict(),
            "share_of_work": point.share,
            "tokens": {"search": point.spent.tokens, "held_out": held_out.tokens},
        }
        return replace(self._plan(point.group_size, self._names(point.group_size, point.left_out)), evidence=evidence)

    @cached_property
    def _looks(self) -> dict[str, list[list[Window]]]:
        """The windows that each look adds, for the search and for held-out text."""
        first = self.experiment.windows
        return looks(first, self.experiment.later(len(first), (2**LOOKS - 1) * len(first)))

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
        widest = self._choices[self._widest]

        def price(name: str, group: int) -> float:
            entry = self._ranking.get(name)
            if entry is None:
                return 0.0
            scaled = entry.costs.trimmed * _ratio(entry.facts, group, widest[name])
            return scaled / gain(sites[name], group, self._ratios.get(name))

        return {name: price(name, group) for name, group in choice.items()}

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
        gaining = [count for count in range(1, len(self._choices[size]) + 1) if self._gains(size, count)]
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
        return self._best is None or self._worth(size, count) > self._best.worth

    def _allowed(self, size: int, count: int) -> bool:
        """Whether a plan is within the budget; the best of those that are is kept."""
        point = self._point(size, count, LOOKS)
        allowed = self.budget.allows(point.spent)
        if allowed and (self._best is None or point.worth > self._best.worth):
            self._best = point
        return allowed

    def _grid(self, size: int) -> list[int]:
        return [round(part * len(self._choices[size])) for part in _GRID]

    def _point(self, size: int, count: int, most: int) -> Point:
        """A plan, measured until it is decided, in that many looks at most, and no fewer than before."""
        key = size, count
        if key not in self._points or most > 1:
            spent = self._decided(size, count, "search", most)
            share = share_of_work(self.experiment.sites, self._left(size, count))
            self._points[key] = Point(size, count, share, self._worth(size, count), spent)
        return self._points[key]

    def _worth(self, size: int, count: int) -> float:
        return worth(self.experiment.sites, self._left(size, count), self._ratios)

    def _gone(self, size: int, count: int) -> list[str]:
        """The first name of a size's order is the first to go. Nothing is ranked where no order is needed."""
        if count in (0, len(self._choices[size])):
            return list(self._choices[size]) if count else []
        return self._order[size][:count]

    def _left(self, size: int, count: int) -> dict[str, int]:
        """What stays quantized."""
        gone = set(self._gone(size, count))
        return {name: group for name, group in self._choices[size].items() if name not in gone}

    def _names(self, size: int, count: int) -> tuple[str, ...]:
        gone = set(self._gone(size, count))
        return tuple(site.name for site in self.experiment.sites if site.name in gone)

    def _decided(self, size: int, count: int, text: str, most: int = LOOKS) -> Spent:
        """What a plan costs, on more text until it is within the budget or beyond it, or there is no more."""
        choice = self._left(size, count)
        if not choice:
            return NOTHING
        what = f"{text}: group size {format_group_size(size)} without {counted(count, 'site')}"
        sums = Sums()
        for windows in self._looks[text][:most]:
            sums += self._sums(choice, windows, f"{what}, after {sum(sums.tokens)} tokens")
            spent = Spent.of(sums)
            if self.budget.allows(spent) or self.budget.excludes(spent):
                break
        return spent

    def _sums(self, choice: Mapping[str, int], windows: Sequence[Window], step: str) -> Sums:
        key = _digest(choice, windows)
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

    def _plan(self, size: int, left_out: Sequence[str]) -> Plan:
        settings = self._settings(size, left_out)
        return plan_sites(self.experiment.sites, settings, self.experiment.document.metadata)


def _digest(choice: Mapping[str, int], windows: Sequence[Window]) -> str:
    """A short name for what is quantized, how, and on which tokens."""
    digest = hashlib.sha256(json.dumps(sorted(choice.items())).encode())
    for window in windows:
        digest.update(window.ids.tobytes())
    return digest.hexdigest()[:32]


def _ratio(facts: ActivationFacts | None, group: int, measured: int) -> float:
    """How much smaller the rounding error is in groups of another size; the cost follows its energy."""
    errors: Mapping[int, float] = {} if facts is None else facts.errors
    if not errors.get(measured) or group not in errors:
        return 1.0
    return errors[group] / errors[measured]
