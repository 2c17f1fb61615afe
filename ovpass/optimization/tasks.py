"""The score of a model on the tasks that come with ovpass, and what to do if a plan loses too much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovpass.errors import CheckFailedError, SettingsError
from ovpass.optimization.request import Request
from ovpass.support.formatting import number

TASKS = {"ovpass_arithmetic": "exact_match (flexible-extract)", "ovpass_conversation": "f1"}
"""The metric of each task that counts."""
ATTEMPTS = 4
"""Plans that are tried, each of which spends at most half the KL divergence of the one before."""


def check_generates(model: Path, *, predicts_tokens: bool) -> None:
    """Make sure that tasks can be asked of a model.

    Raises:
        SettingsError: for a model that generates no text.
        ModelError: if its folder has no tokenizer for OpenVINO GenAI.
    """
    if not predicts_tokens:
        raise SettingsError(f"{model}: --max-task-drop needs a single language model; leave it out")
    from ovpass.evaluation.generation import require_generation  # noqa: PLC0415 - not needed to print help

    require_generation(model if model.is_dir() else model.parent)


def score(scores: Mapping[str, Any]) -> float:
    """The mean over the tasks, in points of 100; `scores` are those of `evaluate --harness` in its JSON."""
    return 100 * sum(float(scores[task][metric]["value"]) for task, metric in TASKS.items()) / len(TASKS)


def scores_of(evaluated: Mapping[str, Any]) -> tuple[float, float] | None:
    """The scores of the source and of the model made of it; None where no tasks were run."""
    if "reference_harness" not in evaluated:
        return None
    (judged,) = evaluated["candidates"]
    return score(evaluated["reference_harness"]), score(judged["harness"])


def stricter(request: Request, found: Mapping[str, Any], attempt: int) -> Request | None:
    """The request to try next, or None if the plan that was found keeps the score.

    Raises:
        CheckFailedError: if nothing is left to try.
    """
    if request.max_task_drop is None:
        return None
    before, after = scores_of(found["evaluate"]) or (0.0, 0.0)
    if before - after <= request.max_task_drop:
        return None
    spent = float(found["tune"]["held_out"]["kl"])
    if attempt == ATTEMPTS or spent <= 0:
        raise CheckFailedError(
            f"the tasks lose {before - after:.1f} points of {before:.1f} with KL {number(spent)} for "
            f"activations, more than --max-task-drop {request.max_task_drop:g}; allow more, or keep more bits of the "
            "weights (--weights), whose cost counts too"
        )
    return replace(request, preset=None, max_kl=spent / 2)
