"""Find the sites whose quantization breaks a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ovpass.errors import ModelError, SettingsError
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.plan import QUANTIZE, Decision, Plan
from ovpass.settings.settings import Rule, settings_to_dict
from ovpass.support.choices import check_choice
from ovpass.targets.group_sizes import format_group_size
from ovpass.tuning.bisection import Remembered, first_breaking, smallest_breaking
from ovpass.tuning.criteria import CommandFails, TooFar, with_model
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.switched_model import Cost
from ovpass.tuning.units import BY, FIND, Unit, make_units


@dataclass(frozen=True)
class Question:
    """What to look for, and what broken means: `max_kl` nats per token, or a command (`check`) that fails.

    `native` gives the command models for the plugin's own quantization, not emulations; `output` takes what it
    prints.
    """

    find: str = "first"
    by: str = "site"
    max_kl: float | None = None
    check: str | None = None
    native: bool = False
    output: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        check_choice("find", self.find, FIND)
        check_choice("by", self.by, BY)
        if (self.max_kl is None) == (self.check is None):
            raise SettingsError("define broken with either --max-kl or --check")
        if self.max_kl is not None and not (math.isfinite(self.max_kl) and self.max_kl >= 0):
            raise SettingsError(f"max-kl {self.max_kl:g}: use nats per token, 0 or more")
        if self.check is not None and not self.check.strip():
            raise SettingsError("check: the command is empty")
        if self.check is not None:
            with_model(self.check)


@dataclass(frozen=True)
class BreakingUnit:
    """A unit that was found, the group size of its sites (None where they differ), and a pattern that picks them."""

    unit: Unit
    group_size: int | None
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class BisectResult:
    """What was found: nothing where the model is not `broken`.

    `together` is what all sites cost, `costs` what the found ones cost alone, both None where a command judges.
    `mended` tells whether the model is good with all sites quantized but these. `skipped` names sites that were
    not asked about and why. `whole` is why each measurement ran the whole model, None if it started at the first
    block that was switched, or where a command judges.
    """

    model: str
    question: Question
    broken: bool
    found: tuple[BreakingUnit, ...]
    together: Cost | None
    costs: Cost | None
    mended: bool | None
    asked: int
    skipped: Mapping[str, str]
    whole: str | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Rules that keep out what was found."""
        return tuple(Rule(match=pattern, exempt=True) for breaking in self.found for pattern in breaking.patterns)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; KL in nats per token."""
        return {
            "model": self.model,
            "find": self.question.find,
            "by": self.question.by,
            "max_kl": self.question.max_kl,
            "check": self.question.check,
            "broken": self.broken,
            "found": [_plain(breaking) for breaking in self.found],
            "together": None if self.together is None else asdict(self.together),
            "costs": None if self.costs is None else asdict(self.costs),
            "mended": self.mended,
            "rules": [settings_to_dict(rule) for rule in self.rules],
            "questions": self.asked,
            "skipped": dict(self.skipped),
            "whole_model": self.whole,
        }


def find_breaking(experiment: Experiment, question: Question) -> BisectResult:
    """Search; with nothing quantized the model must be good.

    Raises:
        OvpassError: for a model, setting, text or command that cannot be used.
    """
    return _Search(experiment, question).run()


def plan_without(experiment: Experiment, result: BisectResult) -> Plan:
    """The plan of the experiment's settings with what was found left out, for `ovpass apply`.

    Raises:
        SettingsError: if the lowering cannot leave it out.
    """
    settings = experiment.settings
    rules = (*result.rules, *settings.rules)
    return plan_sites(experiment.sites, replace(settings, rules=rules), experiment.document.metadata)


class _Search:
    def __init__(self, experiment: Experiment, question: Question) -> None:
        self._experiment, self._question = experiment, question
        if question.check is not None and question.native and experiment.settings.lowering != "native":
            raise SettingsError("profile none emulates no device; lowering native needs a device profile")
        planned = {decision.name: decision for decision in experiment.plan.chosen(QUANTIZE)}
        fixed = {} if question.max_kl is None else experiment.fixed
        self._decisions: dict[str, Decision] = {name: d for name, d in planned.items() if name not in fixed}
        self._skipped = {d.name: d.reason for d in experiment.plan.decisions if d.action != QUANTIZE} | fixed
        if not self._decisions:
            raise experiment.nothing_quantized(self._skipped.values())
        self._units = make_units([s for s in experiment.sites if s.name in self._decisions], question.by)
        self._distance = self._too_far()
        self._breaks: Remembered[Unit] = Remembered(self._asks)

    def run(self) -> BisectResult:
        """Both ends first, then the search between them, and whether leaving out what was found is enough."""
        self._experiment.progress("nothing quantized")
        if self._breaks([]):
            raise ModelError(f"{self._experiment.model}: is broken without quantization; quantization is not the cause")
        self._experiment.progress(f"all {len(self._decisions)} sites quantized")
        if not self._breaks(self._units):
            return self._report([])
        if self._question.find == "first":
            return self._report([first_breaking(self._units, self._breaks, self._left, self._ahead)])
        return self._report(smallest_breaking(self._units, self._breaks, self._left, self._ahead))

    def _too_far(self) -> TooFar | None:
        if self._question.max_kl is None:
            return None
        return TooFar(self._experiment, self._experiment.choice(self._experiment.plan), self._question.max_kl)

    def _asks(self, units: Sequence[Unit]) -> bool:
        names = _names(units)
        if self._distance is not None:
            return self._distance(names)
        question, everything = self._question, list(self._decisions)
        check = CommandFails(self._experiment, everything, question.check or "", question.native, question.output)
        return check(names)

    def _ahead(self, sets: Iterable[Sequence[Unit]]) -> None:
        if self._distance is not None:
            self._distance.ahead(_names(units) for units in sets)

    def _left(self, units: int) -> None:
        what = "sites" if self._question.by == "site" else f"{self._question.by}s"
        self._experiment.progress(f"{units} of {len(self._units)} {what} left")

    def _report(self, found: Sequence[Unit]) -> BisectResult:
        mended = None
        if found:
            self._experiment.progress("all but those")
            mended = not self._breaks([unit for unit in self._units if unit not in found])
        return BisectResult(
            model=str(self._experiment.model),
            question=self._question,
            broken=bool(found),
            found=tuple(self._breaking(unit) for unit in found),
            together=self._cost(self._units),
            costs=self._cost(found) if found else None,
            mended=mended,
            asked=self._breaks.asked,
            skipped=self._skipped,
            whole=None if self._question.max_kl is None else self._experiment.whole,
        )

    def _cost(self, units: Sequence[Unit]) -> Cost | None:
        return None if self._distance is None else self._distance.cost(_names(units))

    def _breaking(self, unit: Unit) -> BreakingUnit:
        sizes = {self._decisions[name].group_size for name in unit.members}
        return BreakingUnit(unit, sizes.pop() if len(sizes) == 1 else None, self._patterns(unit))

    def _patterns(self, unit: Unit) -> tuple[str, ...]:
        """The shortest that pick the unit: its kind or block, where it has one."""
        if self._question.by == "kind":
            return (f"kind:{unit.name}",)
        block = next(site.layer for site in self._experiment.sites if site.name == unit.members[0])
        return (f"layer:{block}",) if self._question.by == "block" and block is not None else unit.members


def _names(units: Sequence[Unit]) -> list[str]:
    return [name for unit in units for name in unit.members]


def _plain(breaking: BreakingUnit) -> dict[str, Any]:
    unit, group = breaking.unit, breaking.group_size
    return {
        "name": unit.name,
        "kind": unit.kind,
        "layer": unit.layer,
        "group_size": None if group is None else format_group_size(group),
        "sites": list(unit.members),
    }
