"""Find the fastest plan within an accuracy budget: one group size, and the sites to leave out.

For each group size that the target supports, a bisection leaves out sites in the order of cost per work until the rest
is within the budget. Costs nearly add up (measured). The plan with the most work is then checked on held-out windows,
and leaves out more sites until it is within the budget there too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.evaluation.windows import Window
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.settings.settings import Rule, Settings
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size
from ovpass.tuning.activation_statistics import ActivationFacts
from ovpass.tuning.budget import Budget, Spent, gain, share_of_work, worth
from ovpass.tuning.experiment import Experiment, as_experiment
from ovpass.tuning.sensitivity import Measure, Sensitivity, sensitivity
from ovpass.tuning.store import Store

CANDIDATES = (PER_TOKEN, 32, 64, 128, 256)
"""Of those with the same effect the first counts: what zero points cap at 32 is called 32."""
_GRID = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
_STEP = 0.02


@dataclass(frozen=True)
class Point:
    """A plan that was measured: the model's group size, the number of sites left out, and what it spends."""

    group_size: int
    left_out: int
    share: float
    worth: float
    spent: Spent


@dataclass(frozen=True)
class Tuned:
    """The plan, what it spends on the windows it was chosen by and on others, and all points that were measured.

    `left_out` are the sites left out; `for_held_out` is how many of them are so only for the other windows.
    """

    plan: Plan
    point: Point
    held_out: Spent
    left_out: tuple[str, ...]
    points: tuple[Point, ...]
    for_held_out: int = 0

    @property
    def frontier(self) -> list[Point]:
        """The points that no other one beats in both cost and worth, the cheapest first."""
        best: list[Point] = []
        for point in sorted(self.points, key=lambda point: (point.spent.kl, -point.worth)):
            if not best or point.worth > best[-1].worth:
                best.append(point)
        return best


def tune(experiment: Experiment | Path | str, budget: Budget, *, exact: bool = False) -> Tuned:
    """Find the fastest plan within the budget. `exact` ranks sites on all windows. An interrupted run resumes.

    A model's path stands for an experiment with all defaults.

    Raises:
        OvpassError: for an invalid model, setting or text.
        SettingsError: if the target quantizes no site at any group size.
    """
    return _Search(as_experiment(experiment), budget, exact).run()


@dataclass
class _Search:
    experiment: Experiment
    budget: Budget
    exact: bool

    def run(self) -> Tuned:
        points, best = [], None
        for size in self._choices:
            fitting = self._fewest(size)
            points += [self._point(size, count) for count in sorted({*self._grid(size), fitting})]
            found = self._point(size, fitting)
            if best is None or found.worth > best.worth:
                best = found
        assert best is not None  # there is at least one group size, or _choices would have refused
        return self._checked(best, points)

    def _checked(self, best: Point, points: Sequence[Point]) -> Tuned:
        """Leave out more sites until the plan holds on windows that it was not chosen by."""
        size, count = best.group_size, best.left_out
        total = len(self._order[size])
        while not self.budget.allows(spent := self._spent(size, count, self._held_out, "held out")):
            count = min(total, count + max(1, round(_STEP * total)))
        point = self._point(size, count)
        names = self._names(size, count)
        evidence = {
            "budget": {key: value for key, value in asdict(self.budget).items() if value is not None},
            "search": asdict(point.spent),
            "held_out": asdict(spent),
            "share_of_work": point.share,
            "tokens": {"search": _tokens(self.experiment.windows), "held_out": _tokens(self._held_out)},
        }
        plan = replace(self._plan(size, names), evidence=evidence)
        return Tuned(plan, point, spent, names, tuple(points), count - best.left_out)

    @cached_property
    def _held_out(self) -> list[Window]:
        return self.experiment.held_out(len(self.experiment.windows))

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
        base = replace(self.experiment, settings=self._settings(self._widest, ()))
        sizes = tuple({group for choice in self._choices.values() for group in choice.values()})
        report = sensitivity(base, Measure(fast=not self.exact, groups=sizes))
        return {entry.unit.name: entry for entry in report.ranking}

    def _fewest(self, size: int) -> int:
        """How many sites have to be left out at that group size to be within the budget."""
        low, high = 0, len(self._order[size])  # none is left quantized at the end: that costs nothing
        while low < high:
            middle = (low + high) // 2
            if self.budget.allows(self._point(size, middle).spent):
                high = middle
            else:
                low = middle + 1
        return low

    def _grid(self, size: int) -> list[int]:
        return [round(part * len(self._order[size])) for part in _GRID]

    def _point(self, size: int, count: int) -> Point:
        choice = self._left(size, count)
        sites = self.experiment.sites
        spent = self._spent(size, count, self.experiment.windows, "search")
        return Point(size, count, share_of_work(sites, choice), worth(sites, choice, self._ratios), spent)

    def _left(self, size: int, count: int) -> dict[str, int]:
        """What stays quantized. The first name of a size's order is the first to go."""
        gone = set(self._order[size][:count])
        return {name: group for name, group in self._choices[size].items() if name not in gone}

    def _names(self, size: int, count: int) -> tuple[str, ...]:
        gone = set(self._order[size][:count])
        return tuple(site.name for site in self.experiment.sites if site.name in gone)

    def _spent(self, size: int, count: int, windows: Sequence[Window], what: str) -> Spent:
        quantized = self._left(size, count)
        key = f"{what}: {_digest(quantized, windows)}"
        known = self._store.get(key, Spent)
        if known is None:
            self.experiment.progress(f"{what}: group size {format_group_size(size)} without {counted(count, 'site')}")
            known = Spent.of(self.experiment.scores(quantized, windows))
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


def _tokens(windows: Sequence[Window]) -> int:
    return sum(window.scored for window in windows)
