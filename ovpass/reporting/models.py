"""Identify the model of a run."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.errors import OvpassError
from ovpass.evaluation.candidates import Candidate, parse_candidate
from ovpass.reporting.checks import RunError
from ovpass.reporting.measurements import EvaluateRun
from ovpass.reporting.runs import Run
from ovpass.reporting.schema import Model
from ovpass.transformation.identity import Identity

_COMPARING = ("evaluate", "bench")


def one_model(runs: Sequence[Run]) -> list[Model]:
    """The models that all runs can be of: one, changed by ovpass or not, unless all of them compare.

    An evaluation's reference, and what a benchmark compares with, may be others.

    Raises:
        RunError: naming two runs of different models.
    """
    first: Run | None = None
    left: list[Model] = []
    for run in sorted(runs, key=lambda run: run.header.command in _COMPARING):
        known = [model for model in subjects(run) if model.sites is not None]
        kept = [model for model in left if any(same_model(model, other) for other in known)]
        if first is None and known:
            first, left = run, known
        elif first is not None and known and not kept:
            raise RunError(
                f"{run.source} is of {known[0].path}, {first.source} of {left[0].path}: these are different "
                "models; a report covers one, --against compares two"
            )
        elif kept:
            left = kept
    return left


def subjects(run: Run) -> list[Model]:
    """The models that a run says something of: of an evaluation its candidates, not its reference."""
    models = list(run.header.models)
    if not isinstance(run.found, EvaluateRun):
        return models
    paths = {str(candidate.path) for c in run.found.candidates if (candidate := candidate_of(c.model)) is not None}
    return [model for model in models if model.path in paths] or models


def candidate_of(label: str) -> Candidate | None:
    """A candidate as it was typed; None where this version of ovpass does not understand it."""
    try:
        return parse_candidate(label)
    except (OvpassError, OSError, ValueError):
        return None


def same_model(one: Model, other: Model) -> bool:
    """Whether both are of one model, as far as can be told."""
    identities = [Identity(model.sites, model.weights, model.changed) for model in (one, other)]
    return identities[0].same_model(identities[1])
