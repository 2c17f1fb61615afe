"""The common input of sensitivity, bisect and tune: a model, its sites, and evaluation windows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.candidates import Candidate, profile_target
from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.cuts import why_whole
from ovpass.evaluation.evaluate import windows_for
from ovpass.evaluation.feeding import is_language_model
from ovpass.evaluation.options import SEARCH, Evaluation
from ovpass.evaluation.preparation import planned_for, sole_model
from ovpass.evaluation.windows import Window
from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile
from ovpass.ir.fingerprint import fingerprint
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.planning.recorded_plan import refuse_processed
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.sites.files import find_sites_in_file
from ovpass.support.cache import cache_folder
from ovpass.support.choices import check_choice
from ovpass.support.progress import Progress
from ovpass.support.store import Store
from ovpass.targets.names import get_target
from ovpass.transformation.loading import Loaded, no_sites
from ovpass.tuning.executors import EXECUTORS, BlockByBlock, Executor, Task, Workers
from ovpass.tuning.sequential import LOOKS, looks
from ovpass.tuning.switched_model import Choice, SwitchedModel
from ovpass.tuning.switches import switchable
from ovpass.version import __version__


def as_experiment(given: Experiment | Path | str) -> Experiment:
    """An experiment as it is; for a model's path, one with all defaults."""
    return given if isinstance(given, Experiment) else Experiment(Path(given))


@dataclass(frozen=True)
class Experiment:
    """A language model to measure. `settings` select what to quantize on the target of `evaluation.profile`.

    `state` is the folder that keeps measurements, None for the default folder. `executor` is the name of the executor
    that runs them, a key of EXECUTORS; `workers` are those that it uses. `base` is the experiment that compiles the
    model for this one, too, None: this one does.

    Raises:
        SettingsError: for an unknown executor.
    """

    model: Path
    settings: Settings = field(default_factory=Settings)
    evaluation: Evaluation = field(default_factory=Evaluation)
    state: Path | None = None
    progress: Progress = lambda _: None
    executor: str = "in-process"
    workers: Workers = field(default_factory=Workers)
    base: Experiment | None = None

    def __post_init__(self) -> None:
        check_choice("executor", self.executor, EXECUTORS)

    @cached_property
    def ir(self) -> IrFile:
        """The IR, which ovpass must not have changed."""
        ir = sole_model(self._candidate)
        refuse_processed(ir.document().metadata, str(ir.xml))
        return ir

    @cached_property
    def document(self) -> IrDocument:
        """The IR's text."""
        return self.ir.document()

    @cached_property
    def sites(self) -> list[CompressedMatMul]:
        """All sites of the model.

        Raises:
            ModelError: if there is none.
        """
        found = find_sites_in_file(self.ir, self.document)
        if not found:
            raise no_sites(self.model, [self.document.graph])
        return found

    @cached_property
    def fixed(self) -> dict[str, str]:
        """Why some sites cannot be switched, by name."""
        return {site.name: reason for site in self.sites if (reason := switchable(site)) is not None}

    @cached_property
    def plan(self) -> Plan:
        """What would be quantized, emulated."""
        return self.plan_for(self.settings)

    @cached_property
    def whole(self) -> str | None:
        """Why each measurement runs the whole model; None if it starts at the first block that is switched."""
        return why_whole(self.sites)

    @property
    def by_blocks(self) -> bool:
        """Whether one block of the model is in memory at a time."""
        return EXECUTORS[self.executor] is BlockByBlock

    @property
    def symmetric(self) -> bool:
        """Whether quantization is symmetric, without a zero point."""
        return self.settings.symmetric

    @property
    def half(self) -> bool:
        """Whether quantization runs in half precision, as on GPUs."""
        return get_target(self.settings.target).half

    def plan_for(self, settings: Settings) -> Plan:
        """Plan the emulation of the target under these settings."""
        candidate = replace(self._candidate, settings=settings)
        return planned_for(candidate, Loaded("", self.ir, self.document, self.sites))

    def choice(self, plan: Plan) -> dict[str, int]:
        """Return the group sizes, by name, of the sites that a plan quantizes and that can be switched.

        Raises:
            SettingsError: as `choice_of`, and for sites whose activation is quantized to floating point.
        """
        target = get_target(self.settings.target)
        quantized = {decision.name for decision in plan.chosen(QUANTIZE)}
        for site in self.sites:
            if site.name in quantized and (kind := target.activation_type(site)) != "i8":
                raise SettingsError(
                    f"{site.name}: {target.name} quantizes its activation to {kind}, and searches know 8-bit integers "
                    "only; exempt such sites, or take another target"
                )
        return {name: size for name, size in choice_of(plan, self.sites).items() if name not in self.fixed}

    @cached_property
    def windows(self) -> list[Window]:
        """The windows to measure on."""
        self._check_predicts()
        return windows_for(self._candidate, self.evaluation, SEARCH)

    def held_out(self, count: int) -> list[Window]:
        """Return `count` held-out windows, after those of the search in the same text."""
        options = replace(self.evaluation, windows=count, skip=self.evaluation.skip + len(self.windows))
        return windows_for(self._candidate, options, SEARCH)

    @cached_property
    def looks(self) -> dict[str, list[list[Window]]]:
        """The windows that each look adds, for the "search" and for "held out" text.

        Raises:
            TextError: if the text has less than twice the windows of the search.
        """
        first = self.windows
        later = replace(self.evaluation, windows=(2**LOOKS - 1) * len(first), skip=self.evaluation.skip + len(first))
        return looks(first, windows_for(self._candidate, later, SEARCH, least=len(first)))

    def under(self, settings: Settings) -> Experiment:
        """The same experiment under other settings for the same arithmetic; it runs on the same copies of the model."""
        return replace(self, settings=settings, base=self.base or self)

    @property
    def switched(self) -> SwitchedModel:
        """The model with switches, compiled when it is first asked for."""
        return (self.base or self)._switched

    @cached_property
    def _switched(self) -> SwitchedModel:
        self.progress("compiling a model with a switch at each site")
        threads = self.workers.threads
        return SwitchedModel(self.ir, self.windows, symmetric=self.symmetric, half=self.half, threads=threads)

    @property
    def width(self) -> int:
        """How many measurements the executor runs at a time."""
        return self._executor.width

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """Run tasks on the executor and yield their scores in order.

        Raises:
            OvpassError: if the model cannot be run.
        """
        return self._executor.run(tasks)

    def scores(self, choice: Choice, windows: Sequence[Window]) -> list[TokenScores]:
        """Return the scores of one set of sites.

        Raises:
            OvpassError: if the model cannot be run.
        """
        (found,) = self.run([Task(choice, windows)])
        return found

    def local_errors(self, choices: Mapping[str, Choice], window: Window) -> dict[str, float]:
        """What each choice does to the blocks that it is in; always computed in this process.

        Raises:
            OvpassError: if the model cannot be cut at its blocks, or run.
        """
        return (BlockByBlock(self) if self.by_blocks else self.switched).local_errors(choices, window)

    def store(self, purpose: str, choice: Choice) -> Store:
        """Open the store of this model, these windows and the group sizes of `choice`."""
        return Store(self._kept(purpose, [dict(choice)], ".jsonl"))

    @property
    def hidden(self) -> Path:
        """The folder for what blocks of this model hand on, if they run one at a time."""
        return self._kept("hidden", [self.workers.threads], ".hidden")

    def _kept(self, purpose: str, more: Sequence[Any], suffix: str) -> Path:
        """Where something is kept that depends on this model, these windows and `more`."""
        import openvino as ov  # noqa: PLC0415

        words = [purpose, __version__, ov.get_version(), self.half, self.settings.symmetric, *more]
        parts = [json.dumps(words).encode(), *(window.identity for window in self.windows)]
        return (self.state or cache_folder("measurements")) / f"{fingerprint(self.ir, parts)}{suffix}"

    def nothing_quantized(self, reasons: Iterable[str]) -> SettingsError:
        """Make the error for settings that quantize nothing, with the first of the reasons."""
        return SettingsError(f"{self.ir.xml}: nothing is quantized: {'; '.join(sorted(set(reasons))[:2])}")

    def _check_predicts(self) -> None:
        if not is_language_model(self.ir.read()):
            raise ModelError(
                f"{self.ir.xml}: is not a language model, and sites are ranked by next-token predictions; "
                "'ovpass evaluate' compares other outputs, 'ovpass bisect --check' searches with your own command"
            )

    @property
    def _executor(self) -> Executor:
        return (self.base or self)._own_executor

    @cached_property
    def _own_executor(self) -> Executor:
        return EXECUTORS[self.executor](self)

    @property
    def _candidate(self) -> Candidate:
        return Candidate(str(self.model), self.model, self.settings, profile=self.settings.target)


def experiment_settings(settings: Settings, profile: str | None) -> Settings:
    """Settings for the target of a profile; None leaves the settings' own.

    Lowering int8 is studied as per-token quantization in the arithmetic of its target.

    Raises:
        SettingsError: for a profile that is unknown.
    """
    target = settings.target if profile is None else profile_target(profile)
    if target is None:
        threshold = settings.threshold or 0
        return replace(settings, lowering="emulate", threshold=threshold)
    return replace(settings, target=target)


def choice_of(plan: Plan, sites: Sequence[CompressedMatMul]) -> dict[str, int]:
    """Group sizes by name of the sites that a plan quantizes for; all of K is K.

    Raises:
        SettingsError: for a quantizer that is no switch's, naming the site.
    """
    k = {site.name: site.k for site in sites}
    chosen = plan.chosen(QUANTIZE)
    for decision in chosen:
        if decision.axis not in (None, -1):
            raise SettingsError(f"{decision.name}: axis {decision.axis}: the search supports axis -1 only")
        if decision.symmetric not in (None, plan.settings.symmetric):
            raise SettingsError(f"{decision.name}: symmetric differs from the other sites'; set it for all or none")
    sizes = {d.name: min(d.group_size or 0, k[d.name]) for d in chosen}
    for name, size in sizes.items():
        if k[name] % size:
            raise SettingsError(f"{name}: the search needs whole groups, and {size} does not divide K={k[name]}")
    return sizes
