"""Decide from the runs whether a model can be shipped."""

from __future__ import annotations

from ovpass.reporting.accuracy import Accuracy, accuracy
from ovpass.reporting.accuracy_matching import is_tuned
from ovpass.reporting.side import Side
from ovpass.reporting.verdict import Line, slower
from ovpass.support.formatting import counted, number

_QUESTION = "Ship it?"
_SPENT = {"max_kl": "kl", "max_perplexity_percent": "perplexity_percent"}
_WORDS = {"max_kl": "KL divergence", "max_perplexity_percent": "Perplexity change in percent"}


def decision(side: Side) -> Line:
    """Ship, do not ship, or not yet with what is missing.

    A failed check, a result that is not finite, a budget that is exceeded and a longer time on the verified device
    say no. Without a budget the reader judges the cost.
    """
    cost = accuracy(side)
    against = _against(side, cost)
    if against:
        return Line(_QUESTION, "differs", "Do not ship.", tuple(against))
    missing = _missing(side, cost)
    if missing:
        return Line(_QUESTION, "expected", "Not yet.", tuple(missing))
    if side.tuned is None or not is_tuned(side) or not _limits(side):
        text = "Ship, if the cost below is acceptable."
        return Line(_QUESTION, "expected", text, ("No budget was given: tune --max-kl gives one.",))
    return Line(_QUESTION, "on", "Ship.", (f"As planned on {_place(side)}, and within the budget.",))


def _place(side: Side) -> str:
    seen = side.verified
    simulated = None if seen is None else seen.simulated
    return f"a simulated {simulated}" if simulated else "the verified device"


def _limits(side: Side) -> dict[str, float]:
    budget = side.tuned.plan.evidence.budget if side.tuned is not None else {}
    return {name: limit for name, limit in budget.items() if name in _SPENT}


def _against(side: Side, cost: Accuracy | None) -> list[str]:
    found = []
    seen = side.verified
    if seen is not None and side.strangers:
        found.append("The plugin was checked with another plan.")
    elif seen is not None and not seen.ok:
        found.append(f"{counted(len(seen.mismatches), 'site')} of {len(seen.sites)} not as planned on {seen.device}.")
    if cost is not None and not cost.finite:
        found.append("Its results are not finite.")
    if side.tuned is not None and is_tuned(side):
        for name, limit in _limits(side).items():
            spent = getattr(side.tuned.held_out, _SPENT[name])
            if not spent <= limit:
                found.append(f"{_WORDS[name]} {number(spent, 2)} on held-out text exceeds the budget, {number(limit)}.")
    found += [f"Slower: {text}." for text in slower(side)]
    return found


def _missing(side: Side, cost: Accuracy | None) -> list[str]:
    found = []
    if side.verified is None or not side.verified.sites:
        found.append("Not verified on a device; run verify.")
    if cost is None:
        found.append("Accuracy not measured; run evaluate.")
    elif cost.fits is False:
        found.append("The accuracy measured is of another plan; run evaluate with this one.")
    return found
