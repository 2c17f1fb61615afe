"""Run the stages from a source to a verified model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovpass.cli.output import progress
from ovpass.errors import CheckFailedError, NoDeviceError
from ovpass.optimization.kv_cache import check_has_cache, is_smaller
from ovpass.optimization.outline import Outline, facts_of
from ovpass.optimization.request import FOLDER
from ovpass.optimization.stages import Stages
from ovpass.optimization.tasks import check_generates, stricter
from ovpass.planning.plan import QUANTIZE
from ovpass.support.formatting import counted, number
from ovpass.verification.compilable import check_compilable


@dataclass(frozen=True)
class Made:
    """What the stages made: the applied model, and by command what each found (None: left out).

    `served` is the model laid out for a server, None if that was not asked for.
    """

    model: Path
    found: Mapping[str, Any]
    served: Path | None = None


def run_pipeline(outline: Outline, stages: Stages, *, quiet: bool) -> Made:
    """Run all stages of an outline, which is looked at again once the source is converted.

    Raises:
        OvpassError: as the commands do.
        CheckFailedError: if nothing can be quantized within the budget, no plan keeps the score on the tasks, or the
            plugin does not follow the plan.
    """
    found = {"convert": stages(outline.convert())}
    if outline.converted:
        outline = replace(outline, facts=facts_of(outline.original))
    if outline.request.max_task_drop is not None:
        check_generates(outline.original, predicts_tokens=outline.facts.predicts_tokens is not False)
    if outline.request.kv is not None:
        check_has_cache(outline.original, predicts_tokens=outline.facts.predicts_tokens is not False)
    _check_compilable(outline, quiet=quiet)
    found["compress"] = stages(outline.compress())
    while True:
        found.update(_plan(outline, stages))
        request = stricter(outline.request, found, outline.attempt)
        if request is None:
            break
        outline = replace(outline, request=request, attempt=outline.attempt + 1)
    if outline.request.layout == FOLDER:
        return Made(outline.applied, found)
    found["layout"] = stages(outline.layout())
    return Made(outline.applied, found, outline.served)


def _check_compilable(outline: Outline, *, quiet: bool) -> None:
    """Ask the device before minutes of work, where there is one to ask."""
    with suppress(NoDeviceError), progress(quiet=quiet) as step:
        check_compilable(outline.facts.planned, outline.question(), step)


def _plan(outline: Outline, stages: Stages) -> dict[str, Any]:
    """Find a plan, apply it, and look at the result."""
    found = {"tune": stages(outline.tune())}
    if found["tune"] is not None:
        _require_quantized(found["tune"], " ".join(outline.request.budget))
    found["apply"] = stages(outline.apply())
    found["verify"] = stages(outline.verify())
    if found["verify"] is not None and not found["verify"]["ok"]:
        wrong = counted(len(found["verify"]["mismatches"]), "site is", "sites are")
        raise CheckFailedError(f"{outline.applied}: {wrong} not as planned; 'ovpass verify' lists them")
    found["evaluate"] = stages(outline.evaluate())
    return found


def _require_quantized(tuned: Mapping[str, Any], budget: str) -> None:
    if is_smaller(tuned) or any(decision["action"] == QUANTIZE for decision in tuned["plan"]["decisions"]):
        return
    costs = [point for point in tuned["measured"] if point["share"] > 0]
    if not costs:
        raise CheckFailedError(f"nothing can be quantized within {budget}")
    near = min(costs, key=lambda point: float(point["spent"]["kl"]))
    spent = near["spent"]
    raise CheckFailedError(
        f"nothing can be quantized within {budget}; the nearest plan quantizes {100 * near['share']:.1f} % of the work "
        f"in groups of {near['group_size']}: KL {number(spent['kl'])}, perplexity {spent['perplexity_percent']:+.2f} %"
    )
