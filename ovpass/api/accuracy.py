"""Measure accuracy, and plan within a budget of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovpass.api.keywords import (
    EvaluationKeywords,
    HowKeywords,
    PlaceKeywords,
    SearchKeywords,
    WindowKeywords,
    settings_of,
    split,
    with_keywords,
)
from ovpass.api.models import Source, name_of, on_disk
from ovpass.cli.output import progress as shown_progress
from ovpass.errors import SettingsError
from ovpass.evaluation.candidates import Candidate, profile_target
from ovpass.evaluation.evaluate import evaluate as evaluate_candidates
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.model_outputs import ArraysReport
from ovpass.evaluation.options import Evaluation
from ovpass.settings.settings import Settings
from ovpass.tuning.budget import Budget
from ovpass.tuning.executors.choice import choose_executor
from ovpass.tuning.experiment import Experiment, experiment_settings
from ovpass.tuning.kv_cache import tune_with_cache
from ovpass.tuning.presets import limits_of
from ovpass.tuning.tune import tune as tune_experiment
from ovpass.tuning.tuned import Tuned

if TYPE_CHECKING:
    from typing_extensions import Unpack


def evaluate(
    reference: Source,
    candidates: Source | Sequence[Source],
    evaluation: Evaluation | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    quiet: bool = False,
    **keywords: Unpack[EvaluationKeywords],
) -> TextReport | ArraysReport:
    """Compare one or more candidates with a reference that runs without quantization.

    A candidate is a path, `MODEL@setting,setting` as text, or a model in memory, for which `tokenizer` names a folder.
    The keywords are the fields of Evaluation, which they override. `progress` is called with each step; None shows a
    bar on a terminal and in a notebook, unless `quiet`.

    Raises:
        OvpassError: a subclass, for an invalid model, setting, text or tokenizer.
    """
    how = with_keywords(evaluation or Evaluation(), keywords)
    given = candidates if isinstance(candidates, Sequence) and not isinstance(candidates, str) else [candidates]
    with ExitStack() as stack:
        step = progress or stack.enter_context(shown_progress(quiet=quiet))
        first, *others = [_candidate(model, how, stack) for model in (reference, *given)]
        return evaluate_candidates(first, others, how, step)


def _candidate(model: Source, how: Evaluation, stack: ExitStack) -> str | Path | Candidate:
    if isinstance(model, (str, Path)):
        return model
    return Candidate(name_of(model), stack.enter_context(on_disk(model)), profile=profile_target(how.profile))


def tune(
    experiment: Experiment | Source,
    budget: Budget | str | None = None,
    *,
    max_kl: float | None = None,
    max_ppl_increase: float | None = None,
    settings: Settings | Path | str | None = None,
    evaluation: Evaluation | None = None,
    quiet: bool = False,
    **keywords: Unpack[SearchKeywords],
) -> Tuned:
    """Find the plan that quantizes the most work within an accuracy budget. An interrupted run resumes.

    The budget is a Budget, one of the presets "safe", "balanced" and "fast", or `max_kl` (nats per token) and
    `max_ppl_increase` (percent). `experiment` is a model, or an Experiment, which has settings and evaluation in it.
    The keywords are fields of Settings and Evaluation, which they override; `exempt`: patterns; `state`: a folder for
    measurements; and `workers`, `cluster` and `mixed_hosts` as for `ovpass tune`. Also: `exact` ranks sites on all
    windows; after `minutes` the search ends with the best plan so far; with `frontier`, plans far from the budget are
    measured, too; `kv` chooses the KV cache, too, of the types that it names by comma, or of all that the target stores
    with "auto".

    Raises:
        OvpassError: for an invalid model, setting or text.
        SettingsError: if the target quantizes no site at any group size, or no plan is found in time.
    """
    limit = _budget(budget, max_kl, max_ppl_increase)
    how, others = split(keywords, [*HowKeywords.__annotations__])
    if isinstance(experiment, Experiment):
        if settings or evaluation or others:
            raise SettingsError("an Experiment has its settings in it; change those there, or name the model alone")
        return _tuned(experiment, limit, **how)
    if "group_size" in others:
        raise SettingsError("group_size: tune chooses it; sensitivity takes one")
    with on_disk(experiment) as path, shown_progress(quiet=quiet) as step:
        subject = replace(_experiment(path, settings, evaluation, others), progress=step)
        return _tuned(subject, limit, **how)


def _tuned(experiment: Experiment, limit: Budget, *, kv: str | None = None, **how: Any) -> Tuned:
    return tune_experiment(experiment, limit, **how) if kv is None else tune_with_cache(experiment, limit, kv, **how)


def _experiment(
    model: Path, settings: Settings | Path | str | None, evaluation: Evaluation | None, keywords: Mapping[str, Any]
) -> Experiment:
    where, others = split(keywords, [*PlaceKeywords.__annotations__])
    measured, chosen = split(others, [*WindowKeywords.__annotations__])
    if "target" in chosen and "profile" in measured:
        raise SettingsError("target and profile both name a device; use one of them")
    state = where.pop("state", None)
    executor, workers = choose_executor(**where)
    asked = experiment_settings(settings_of(settings, chosen), measured.get("profile"))
    how = with_keywords(evaluation or Evaluation(), measured)
    return Experiment(model, asked, how, None if state is None else Path(state), executor=executor, workers=workers)


def _budget(budget: Budget | str | None, max_kl: float | None, max_ppl_increase: float | None) -> Budget:
    if not isinstance(budget, Budget):
        return Budget(*limits_of(budget, max_kl, max_ppl_increase))
    if max_kl is not None or max_ppl_increase is not None:
        raise SettingsError("budget: has its limits in it; leave max_kl and max_ppl_increase out")
    return budget
