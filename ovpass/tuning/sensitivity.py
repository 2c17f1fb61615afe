"""Measure the cost of quantizing each site alone, and the gain of leaving it out alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.evaluation.windows import Window
from ovpass.support.choices import check_choice
from ovpass.support.memory import peak_megabytes
from ovpass.support.store import Store
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.tuning.activation_statistics import ActivationFacts, Question, activation_facts, activation_facts_by_blocks
from ovpass.tuning.executors import Task
from ovpass.tuning.experiment import Experiment, as_experiment
from ovpass.tuning.switched_model import Choice, Cost
from ovpass.tuning.units import BY, Unit, make_units

_EVALUATIONS = 6
_ENOUGH_TOKENS = 64
"""Costs on fewer tokens rank worse than local errors do."""
_FEWEST_TOKENS = 16
LOCAL_TOKENS = 128
"""Of the window on which blocks are compared."""
_LEAST = 1e-30


@dataclass(frozen=True)
class Sensitivity:
    """One unit: `costs` with only it quantized, `saves` with all but it against all; None where not measured.

    `group_size` elements share a scale, None where that differs; `per_token` tells that it is all of K everywhere, as
    planned. `screened` tells that `costs` come from the fast ranking: measured on its short window, or estimated.
    """

    unit: Unit
    group_size: int | None
    per_token: bool
    costs: Cost
    saves: Cost | None
    facts: ActivationFacts | None
    screened: bool


@dataclass(frozen=True)
class SensitivityReport:
    """All units, the costliest first, and what all of them cost together.

    `skipped` names sites without a measurement and why; `tokens` were scored for each cost. `whole` is why each
    measurement ran the whole model, None if it started at the block that was switched. `peak_megabytes` is the peak
    memory of this process where one block was in memory at a time.
    """

    model: str
    by: str
    together: Cost
    ranking: tuple[Sensitivity, ...]
    skipped: dict[str, str]
    tokens: int
    whole: str | None = None
    peak_megabytes: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Measure:
    """The amount of measurement. `fast` ranks on a short window; `refine` sites are then measured exactly.

    `groups` are additional group sizes for the rounding errors of activations. Without `fast`, costs use all windows
    and savings use the first half of them.
    """

    by: str = "site"
    fast: bool = False
    refine: int = 0
    groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_choice("by", self.by, BY)
        if self.refine < 0:
            raise SettingsError(f"refine {self.refine}: use a number of sites, 0 or more")
        if self.refine and not self.fast:
            raise SettingsError("refine: it needs a fast ranking; without fast, all sites are measured exactly")


def sensitivity(experiment: Experiment | Path | str, measure: Measure | None = None) -> SensitivityReport:
    """Measure the accuracy cost of each site, and rank. Stored measurements of earlier runs are reused.

    A model's path stands for an experiment with all defaults.

    Raises:
        OvpassError: for an invalid model, setting or text.
    """
    return _Sweep(as_experiment(experiment), measure or Measure()).run()


@dataclass(frozen=True)
class _Wanted:
    """One measurement: its name in the store, the sites to quantize, and what progress says."""

    what: str
    choice: Choice
    step: str


@dataclass(frozen=True)
class _Screen:
    """Costs of the fast ranking by the number of the unit, and the windows that they come from."""

    costs: dict[int, Cost]
    windows: Sequence[Window]


class _Sweep:
    def __init__(self, experiment: Experiment, measure: Measure) -> None:
        self._experiment, self._measure = experiment, measure
        self._all = self._choice()
        sites = [site for site in experiment.sites if site.name in self._all]
        self._units = make_units(sites, measure.by)
        self._store: Store = experiment.store("sensitivity", self._all)

    def run(self) -> SensitivityReport:
        windows = self._experiment.windows
        together = self._together(windows)
        screen = self._screen(together, windows) if self._measure.fast else _Screen({}, windows)
        order = sorted(screen.costs, key=lambda i: -screen.costs[i].trimmed)
        screened = set(order[self._measure.refine :])
        exact = [number for number in range(len(self._units)) if number not in screened]
        costs = screen.costs | dict(zip(exact, self._alone(exact, windows), strict=True))
        saves = None if self._measure.fast else self._savings(windows[: (len(windows) + 1) // 2])
        facts = self._facts(windows[0]) if self._measure.by == "site" else {}
        found = [
            self._result(unit, costs[i], None if saves is None else saves[i], facts, screened=i in screened)
            for i, unit in enumerate(self._units)
        ]
        return SensitivityReport(
            model=str(self._experiment.model),
            by=self._measure.by,
            together=together,
            ranking=tuple(sorted(found, key=lambda s: (s.screened, -s.costs.trimmed))),
            skipped=self._skipped(),
            tokens=sum(window.scored for window in screen.windows),
            whole=self._experiment.whole,
            peak_megabytes=peak_megabytes() if self._experiment.by_blocks else None,
        )

    def _choice(self) -> dict[str, int]:
        plan = self._experiment.plan
        chosen = self._experiment.choice(plan)
        if not chosen:
            raise self._experiment.nothing_quantized(decision.reason for decision in plan.decisions)
        return chosen

    def _screen(self, together: Cost, windows: Sequence[Window]) -> _Screen:
        """Costs on a short window for a few units, from local errors for many."""
        budget = _EVALUATIONS * sum(len(window.ids) for window in windows) // len(self._units)
        few = budget >= min(_ENOUGH_TOKENS, len(windows[0].ids))
        if few or self._experiment.whole is not None:
            short = [windows[0].start(max(budget, _FEWEST_TOKENS))]
            return _Screen(dict(enumerate(self._alone(range(len(self._units)), short))), short)
        return self._estimated(together, windows)

    def _estimated(self, together: Cost, windows: Sequence[Window]) -> _Screen:
        """Local errors, scaled so that all costs add up to those of all sites together: they nearly do (measured).

        The units that have none are those of the head. They take only the head to measure, and are left out.
        """
        window = windows[0].start(LOCAL_TOKENS)
        errors = self._local_errors(window)
        numbers = [number for number, unit in enumerate(self._units) if unit.name in errors]
        head = [number for number in range(len(self._units)) if number not in numbers]
        rest = together.trimmed - sum(cost.trimmed for cost in self._alone(head, windows))
        scale = (rest if rest > 0 else together.trimmed) / max(sum(errors.values()), _LEAST)
        found = {number: Cost.estimated(scale * errors[self._units[number].name]) for number in numbers}
        return _Screen(found, [window])

    def _local_errors(self, window: Window) -> dict[str, float]:
        key = f"local by {self._measure.by} on {len(window.ids)}"
        known = self._store.get(key, dict[str, float])
        if known is None:
            self._experiment.progress("comparing what blocks hand on")
            choices = {unit.name: {name: self._all[name] for name in unit.members} for unit in self._units}
            known = self._experiment.local_errors(choices, window)
            self._store.put(key, known)
        return known

    def _together(self, windows: Sequence[Window]) -> Cost:
        return self._costs([_Wanted("together", self._all, "all together")], windows)[0]

    def _alone(self, numbers: Sequence[int], windows: Sequence[Window]) -> list[Cost]:
        """The cost of each of these units when only it is quantized."""
        wanted = []
        for number in numbers:
            unit = self._units[number]
            alone = {name: self._all[name] for name in unit.members}
            step = f"only {unit.name} ({number + 1} of {len(self._units)})"
            wanted.append(_Wanted(f"only {self._measure.by} {unit.name}", alone, step))
        return self._costs(wanted, windows)

    def _savings(self, windows: Sequence[Window]) -> list[Cost]:
        """What leaving out each unit saves."""
        wanted = []
        for number, unit in enumerate(self._units):
            rest = {name: group for name, group in self._all.items() if name not in unit.members}
            step = f"all but {unit.name} ({number + 1} of {len(self._units)})"
            wanted.append(_Wanted(f"without {self._measure.by} {unit.name}", rest, step))
        everything = self._together(windows)
        return [everything.minus(cost) for cost in self._costs(wanted, windows)]

    def _costs(self, wanted: Sequence[_Wanted], windows: Sequence[Window]) -> list[Cost]:
        """From the store what is there; the executor measures the rest, and each result is kept at once."""
        keys = [f"{each.what} on {len(windows)} x {len(windows[0].ids)}" for each in wanted]
        known = {key: self._store.get(key, Cost) for key in keys}
        missing = {key: each for key, each in zip(keys, wanted, strict=True) if known[key] is None}
        for key, scores in zip(missing, self._experiment.run(self._tasks(missing.values(), windows)), strict=True):
            known[key] = Cost.of(scores)
            self._store.put(key, known[key])
        return [cost for key in keys if (cost := known[key]) is not None]

    def _tasks(self, wanted: Iterable[_Wanted], windows: Sequence[Window]) -> Iterator[Task]:
        for each in wanted:
            self._experiment.progress(each.step)
            yield Task(each.choice, windows)

    def _facts(self, window: Window) -> dict[str, ActivationFacts]:
        groups = sorted({*self._all.values(), *self._measure.groups, PER_TOKEN})
        key = f"facts {groups}"
        known = self._store.get(key, dict[str, ActivationFacts])
        if known is None:
            self._experiment.progress("looking at activations")
            settings = self._experiment.settings
            question = Question(groups, settings.symmetric, self._experiment.half)
            facts_of = activation_facts_by_blocks if self._experiment.by_blocks else activation_facts
            known = facts_of(self._experiment.ir, window, question)
            self._store.put(key, known)
        return known

    def _result(
        self, unit: Unit, costs: Cost, saves: Cost | None, facts: dict[str, ActivationFacts], *, screened: bool
    ) -> Sensitivity:
        sizes = {self._all[name] for name in unit.members}
        own = facts.get(unit.members[0]) if len(unit.members) == 1 else None
        planned = {d.group_size for d in self._experiment.plan.decisions if d.name in unit.members}
        size = sizes.pop() if len(sizes) == 1 else None
        return Sensitivity(unit, size, planned == {PER_TOKEN}, costs, saves, own, screened)

    def _skipped(self) -> dict[str, str]:
        reasons = {d.name: d.reason for d in self._experiment.plan.decisions if d.name not in self._all}
        return {**reasons, **self._experiment.fixed}
