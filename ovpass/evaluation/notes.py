"""Notes on a candidate's result, such as that nothing is quantized."""

from __future__ import annotations

from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.support.formatting import counted


def candidate_notes(plan: Plan | None, tokens: int | None) -> tuple[str, ...]:
    """The notes on a candidate's plan, judged on inputs of that many tokens; None where they cannot be told."""
    if plan is None:
        return ()
    threshold = min((decision.threshold or 0 for decision in plan.chosen(QUANTIZE)), default=0)
    if tokens is None or tokens > threshold:
        return plan.notes
    windows = f"windows of {counted(tokens, 'token')}"
    return (*plan.notes, f"{windows} are within the threshold of {threshold}: nothing is quantized")
