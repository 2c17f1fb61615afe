"""What a candidate answers, and how it keeps keys and values: where it was measured."""

from __future__ import annotations

from collections.abc import Iterator

from ovpass.reporting.accuracy_matching import is_tuned, matched
from ovpass.reporting.measurements import Candidate, EvaluateRun, Score
from ovpass.reporting.models import candidate_of
from ovpass.reporting.side import Side
from ovpass.support.formatting import number
from ovpass.targets.runtime_options import CACHE_OPTIONS


def answers_told(side: Side) -> list[str]:
    """Sentences on the candidate that is shown: its KV cache, scores of tasks, and answers to prompts."""
    found = matched(side)
    if found is None or found.fits is False:
        return []
    candidate = found.candidate
    run = next(run for run in side.evaluations if any(each is candidate for each in run.candidates))
    return [*_cache(candidate), *_scores(run, candidate), *_answers(candidate)]


def chosen_cache(side: Side) -> Iterator[str]:
    """The KV cache that tune chose with the plan that is shown."""
    tuned = side.tuned
    if tuned is None or tuned.kv_cache is None or not is_tuned(side):
        return
    kind, in_f16 = tuned.kv_cache.chosen, tuned.kv_cache.bytes_in_f16
    kept = f"keys {kind.keys}, values {kind.values}: {kind.bytes_per_token:.0f} bytes a token, in f16 {in_f16:.0f}"
    yield f"KV cache: {kept}."


def kv_cache(candidate: Candidate) -> str:
    """How keys and values were kept, by the settings of the candidate; empty if none of them says."""
    typed = candidate_of(candidate.model)
    if typed is None:
        return ""
    named = {name: value for name, value in typed.properties.items() if name in CACHE_OPTIONS}
    return ", ".join(f"{name}={value}" for name, value in {**named, **typed.cache}.items())


def compares_caches(run: EvaluateRun) -> bool:
    """Whether any candidate names a KV cache."""
    return any(kv_cache(candidate) for candidate in run.candidates)


def _cache(candidate: Candidate) -> Iterator[str]:
    kept = kv_cache(candidate)
    if kept:
        yield f"With a KV cache of {kept}, whose cost counts."


def _scores(run: EvaluateRun, candidate: Candidate) -> Iterator[str]:
    for task, metrics in candidate.harness.items():
        before = run.reference_harness.get(task, {})
        told = [
            f"{metric} {_score(score)} instead of {_score(before[metric])}"
            for metric, score in metrics.items()
            if metric in before
        ]
        if told:
            yield f"{task}: {', '.join(told)}."


def _score(score: Score) -> str:
    return number(score.value, 3) + (f" ± {number(score.stderr, 2)}" if score.stderr is not None else "")


def _answers(candidate: Candidate) -> Iterator[str]:
    if candidate.answers is not None:
        found = candidate.answers
        yield (
            f"{found.identical} of {found.prompts} answers to prompts are the same, and "
            f"{number(found.equal_tokens_percent)} % of their tokens."
        )
