"""Run tasks of EleutherAI's lm-evaluation-harness on local data."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ovpass.errors import ModelError, OvpassError, SettingsError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.generation import Generator, require_generation
from ovpass.evaluation.options import HarnessOptions
from ovpass.evaluation.preparation import prepare, prepare_reference
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.tokenizer import load_tokenizer
from ovpass.support.extras import extra_module
from ovpass.support.formatting import last_line

_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
_CONSTANTS = (("huggingface_hub.constants", "HF_HUB_OFFLINE"), ("datasets.config", "HF_HUB_OFFLINE"))
_SEED = 1234
"""Of the examples that are shown before a question: lm-eval's own default."""
_RESAMPLES = 1000
_GENERATES = "generate_until"
_SHIPPED = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Score:
    """A metric's value and its standard error, None where the harness knows none."""

    value: float
    stderr: float | None


Tasks = Mapping[str, Mapping[str, Score]]
"""By task or group of tasks, by metric."""


@dataclass(frozen=True)
class HarnessReport:
    """The scores of the reference and of each candidate, in their order, and the notes on each candidate."""

    reference: Tasks
    candidates: tuple[Tasks, ...]
    notes: tuple[tuple[str, ...], ...] = ()


class _Engines:
    """One candidate, prepared and compiled for the requests that come."""

    def __init__(self, candidate: Candidate, folder: Path, device: str, *, is_reference: bool) -> None:
        self._candidate, self._folder, self._device = candidate, folder, device
        self._prepare = prepare_reference if is_reference else prepare

    @cached_property
    def runner(self) -> Runner:
        return Runner(self._prepare(self._candidate, self._device), self._candidate.label, self._device)

    @cached_property
    def generator(self) -> Generator:
        prepared = self._prepare(self._candidate, self._device, generates=True)
        return Generator(prepared, self._candidate.label, self._folder, self._device)


class Harness:
    """Tasks, loaded once and asked of one model after the other. `folder` holds the tokenizer and config.json.

    Raises:
        SettingsError: for tasks that are unknown or cannot be carried out.
        ExtraError: if lm-eval is not installed, or OpenVINO GenAI for tasks that generate.
    """

    def __init__(
        self,
        options: HarnessOptions,
        folder: Path,
        device: str = "CPU",
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._options, self._folder = options, folder
        self._device, self._progress = device, progress
        with _offline():
            progress(f"{', '.join(options.tasks)}: loading")
            self._loaded = load_tasks(options)
        if any(getattr(task, "OUTPUT_TYPE", None) == _GENERATES for task in self._loaded["tasks"].values()):
            require_generation(folder)

    def run(self, reference: Candidate, candidates: Sequence[Candidate]) -> HarnessReport:
        """The scores of all models.

        Raises:
            OvpassError: for a model, setting or task that fails.
        """
        truth, _ = self._scores(reference, is_reference=True)
        found = [self._scores(candidate, is_reference=False) for candidate in candidates]
        return HarnessReport(truth, tuple(scores for scores, _ in found), tuple(notes for _, notes in found))

    def _scores(self, candidate: Candidate, *, is_reference: bool) -> tuple[Tasks, tuple[str, ...]]:
        name = candidate.label
        self._progress(f"{name}: compiling")
        engines = _Engines(candidate, self._folder, self._device, is_reference=is_reference)
        with _offline():
            from lm_eval.evaluator import evaluate  # noqa: PLC0415

            from ovpass.evaluation.harness_model import Judge  # noqa: PLC0415

            tokenizer, batch = load_tokenizer(self._folder), self._options.batch
            judge = Judge(engines, tokenizer, self._folder, name, batch=batch, progress=self._progress)
            _reset(self._loaded)
            try:
                found = evaluate(
                    judge, self._loaded, limit=self._options.limit, bootstrap_iters=_RESAMPLES, log_samples=False
                )
            except OvpassError:
                raise
            except Exception as error:  # tasks bring code of their own, which raises anything
                raise ModelError(f"{name}: the harness failed: {type(error).__name__}: {last_line(error)}") from error
        return {task: metrics(values) for task, values in found["results"].items()}, judge.notes


def load_tasks(options: HarnessOptions) -> Any:
    """The tasks as lm-eval's TaskManager gives them.

    Raises:
        SettingsError: for tasks that are unknown or cannot be loaded.
    """
    manager = _manager(options)
    for name in options.tasks:
        if name not in manager.all_tasks:
            near = difflib.get_close_matches(name, manager.all_tasks, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else "; 'lm-eval ls tasks' lists all that are"
            raise SettingsError(f"harness: task {name!r} is unknown{hint}")
    try:
        return manager.load(list(options.tasks))
    except Exception as error:  # tasks bring code of their own, which raises anything
        tasks, cause = ", ".join(options.tasks), f"{type(error).__name__}: {last_line(error)}"
        raise SettingsError(f"harness: {tasks} cannot be loaded ({cause}); {_way_out(error)}") from error


def _way_out(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"the task's own code needs {error.name}: install it"
    return (
        "nothing is downloaded: put a copy of the data set below the current folder, under its name (openai/gsm8k), "
        "or into the Hugging Face cache, or use a local task"
    )


def _manager(options: HarnessOptions) -> Any:
    """Where tasks are found; the index of lm-eval's own 14,000 is read only where one of them is asked for."""
    manager = extra_module("lm_eval.tasks", "eval", "lm-evaluation-harness").TaskManager
    folders = [str(folder) for folder in (_SHIPPED, options.folder) if folder is not None]
    own = manager(include_path=folders, include_defaults=False)
    if set(options.tasks) <= set(own.all_subtasks):  # a group can name tasks of lm-eval
        return own
    return manager(include_path=folders)


def _reset(loaded: Any) -> None:
    """Every model is shown the same examples."""
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=_SEED)


def metrics(values: Mapping[str, Any]) -> Mapping[str, Score]:
    """From keys like "acc,none" and "acc_stderr,none"; a filter other than "none" is named in brackets."""
    found = {}
    for key, value in values.items():
        metric, comma, chosen = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = values.get(f"{metric}_stderr,{chosen}")
        name = metric if chosen == "none" else f"{metric} ({chosen})"
        found[name] = Score(float(value), float(error) if isinstance(error, int | float) else None)
    return found


@contextmanager
def _offline() -> Iterator[None]:
    """No network and no chatter; the libraries read variables where they are first imported, and constants after."""
    level = logging.root.manager.disable
    imported = [(sys.modules[module], name) for module, name in _CONSTANTS if module in sys.modules]
    with ExitStack() as undo:
        undo.enter_context(_changed(os.environ, _ENVIRONMENT))
        for module, name in imported:
            undo.enter_context(_changed(vars(module), {name: True}))
        undo.callback(logging.disable, level)
        logging.disable(logging.WARNING)
        yield


@contextmanager
def _changed(settings: MutableMapping[str, Any], changes: Mapping[str, Any]) -> Iterator[None]:
    before = {name: settings[name] for name in changes if name in settings}
    settings.update(changes)
    try:
        yield
    finally:
        for name in changes:
            settings.pop(name, None)
        settings.update(before)
