"""One side of a report: the runs of one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TypeVar

from ovpass.reporting.checks import RunError
from ovpass.reporting.measurements import BenchRun, EvaluateRun, SensitivityRun, TuneRun
from ovpass.reporting.models import one_model, subjects
from ovpass.reporting.runs import Run
from ovpass.reporting.schema import DecidedSite, InspectRun, Model, PlanRun, VerifyRun
from ovpass.reporting.sites import OFF, Site, gather
from ovpass.settings.settings import Settings, settings_from_dict
from ovpass.targets.names import get_target

_Kind = TypeVar("_Kind")
_SEVERAL = ("evaluate", "bench", "verify")
_PLANS = ("plan", "apply")


@dataclass(frozen=True)
class Side:
    """Runs that belong together.

    Raises:
        RunError: if two runs say the same thing, or are of different models.
    """

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        one_model(self.runs)
        check_kinds(run.header.command for run in self.runs)
        _check_devices(self.verifications)

    @staticmethod
    def of(runs: Iterable[Run]) -> Side:
        """A side of these runs, in the order in which they were made.

        Raises:
            RunError: as above.
        """
        return Side(tuple(sorted(runs, key=lambda run: run.header.date)))

    @property
    def title(self) -> str:
        """The model's name: that of its folder, or of its file where that says more."""
        named = [*self.models, *(model for run in self.runs for model in subjects(run))]
        if not named:
            return "model"
        path = PurePath(named[0].path)
        return (path.parent.name or path.stem if path.name == "openvino_model.xml" else path.name) or "model"

    @cached_property
    def models(self) -> list[Model]:
        """The model that all runs are of, where they tell it; several where all of them compare several."""
        return one_model(self.runs)

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """All sites that a run names."""
        return gather(self.inspected, self.decided, self.verified, self.measured)

    @property
    def inspected(self) -> InspectRun | None:
        """The run of inspect."""
        return self._sole(InspectRun)

    @property
    def planned(self) -> PlanRun | None:
        """What plan or apply says, else what tune chose."""
        return self._sole(PlanRun) or (self.tuned.plan if self.tuned is not None else None)

    @property
    def tuned(self) -> TuneRun | None:
        """The run of tune."""
        return self._sole(TuneRun)

    @cached_property
    def settings(self) -> Settings | None:
        """Those of the plan."""
        return settings_from_dict(self.planned.settings) if self.planned is not None else None

    @property
    def target(self) -> str | None:
        """By whose rules sites were judged."""
        if self.settings is not None:
            return self.settings.target
        return self.inspected.target if self.inspected is not None else None

    @property
    def picked(self) -> str | None:
        """The pattern of the only sites that inspect was asked for, where no plan names all."""
        arguments = self.arguments_of(InspectRun)
        return arguments[arguments.index("--match") + 1] if "--match" in arguments[:-1] and not self.decided else None

    def arguments_of(self, kind: type[object]) -> list[str]:
        """What was typed after the command of the first run of this kind, each option and its value apart."""
        typed = next((run.header.arguments for run in self.runs if isinstance(run.found, kind)), ())
        return [part for word in typed for part in (word.split("=", 1) if word.startswith("--") else (word,))]

    @property
    def decided(self) -> tuple[DecidedSite, ...]:
        """The decisions of the plan."""
        return self.planned.decisions if self.planned is not None else ()

    @cached_property
    def verifications(self) -> tuple[VerifyRun, ...]:
        """What plugins did, by device."""
        return tuple(seen for run in self.runs for seen in run.verified)

    @cached_property
    def verified(self) -> VerifyRun | None:
        """What the plugin did on the device that the plan is for, or on the first one.

        Of several devices of its kind, that one counts which does not follow the plan.
        """
        checked = [seen for seen in self.verifications if not seen.error]
        return min(checked, key=lambda seen: (not self._is_for(seen), seen.ok), default=None)

    def _is_for(self, seen: VerifyRun) -> bool:
        target = None if self.target is None else get_target(self.target)
        return target is not None and (
            get_target(seen.simulated) is target if seen.simulated else seen.device == target.device
        )

    @property
    def strangers(self) -> int:
        """Sites of which the plugin was asked by another plan than the one that is shown."""
        return sum(site.planned not in (None, site.group or OFF) for site in self.sites) if self.decided else 0

    @property
    def measured(self) -> SensitivityRun | None:
        """The run of sensitivity."""
        return self._sole(SensitivityRun)

    @property
    def evaluations(self) -> list[EvaluateRun]:
        """Runs of evaluate."""
        return self._found(EvaluateRun)

    @property
    def benchmarks(self) -> list[BenchRun]:
        """Runs of bench."""
        return self._found(BenchRun)

    def _found(self, kind: type[_Kind]) -> list[_Kind]:
        return [run.found for run in self.runs if isinstance(run.found, kind)]

    def _sole(self, kind: type[_Kind]) -> _Kind | None:
        return next(iter(self._found(kind)), None)


def _check_devices(verifications: Iterable[VerifyRun]) -> None:
    told = Counter(seen.name for seen in verifications)
    for name, times in told.items():
        if times > 1:
            raise RunError(f"{times} runs of 'verify' for {name}; name one, or compare with --against")


def check_kinds(commands: Iterable[str]) -> None:
    """Make sure that no two runs of these commands would say the same thing.

    Raises:
        RunError: naming the command.
    """
    told = Counter("plan" if command in _PLANS else command for command in commands)
    for what, times in told.items():
        if times > 1 and what not in _SEVERAL:
            raise RunError(f"{times} runs of {what!r}; name one, or compare with --against")
