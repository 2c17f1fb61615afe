"""Summarize the accuracy cost in a sentence and in figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ovpass.reporting.accuracy_matching import is_tuned, matched
from ovpass.reporting.formatting import interval, listed, model_name, signed_percent
from ovpass.reporting.measurements import Candidate, Spent
from ovpass.reporting.side import Side
from ovpass.support.formatting import number

_NOT, _PERHAPS = "Of another plan", "Perhaps of another plan"


@dataclass(frozen=True)
class Figure:
    """A number to look at, with what it is of."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Accuracy:
    """A cost; `whose` it is, and whether that is what is shown, None where nothing tells."""

    sentence: str
    whose: str
    fits: bool | None
    finite: bool
    figures: tuple[Figure, ...] = ()


def accuracy(side: Side) -> Accuracy | None:
    """The cost of what is shown; where nobody measured that, of something else, which is said."""
    found = matched(side)
    if side.tuned is not None and not (found and found.fits) and (is_tuned(side) or found is None):
        return _of_tuned(side.tuned.held_out, fits=is_tuned(side))
    if found is None:
        return None
    return _of_tokens(found.candidate, found.fits) or _of_outputs(found.candidate, found.fits)


def _of_tuned(held: Spent, *, fits: bool) -> Accuracy:
    sentence = (
        f"KL divergence {number(held.kl, 2)} nats per token; perplexity {signed_percent(held.perplexity_percent)}."
    )
    whose = _whose("the plan that tune chose, on held-out text", fits)
    figures = tuple(_figures(held.kl, held.perplexity_percent, fits))
    return Accuracy(sentence, whose, fits, math.isfinite(held.kl), figures)


def _of_tokens(candidate: Candidate, fits: bool | None) -> Accuracy | None:
    if candidate.kl is None:
        return None
    change, same = candidate.perplexity_delta_percent, f"{number(candidate.top1_agreement)} %"
    within = (
        _within(candidate.kl.mean_interval),
        _within(candidate.perplexity_delta_interval, "+.2f"),
        _within(candidate.top1_interval, ".1f"),
    )
    sentence = (
        f"KL divergence {number(candidate.kl.mean, 2)} nats per token; perplexity {signed_percent(change)}; "
        f"top-1 agreement {same}."
    )
    figures = (
        *_figures(candidate.kl.mean, change, fits, within),
        Figure("Top-1 agreement", same, _noted(f"with the reference{within[2]}", fits)),
    )
    return Accuracy(sentence, _told(candidate, fits), fits, math.isfinite(candidate.kl.mean), figures)


def _of_outputs(candidate: Candidate, fits: bool | None) -> Accuracy | None:
    if not candidate.outputs:
        return None
    broken = [output.name for output in candidate.outputs if not math.isfinite(output.relative_error.value)]
    if broken:
        sentence = f"Not finite: NaN or infinity in output {listed(broken)}."
    else:
        worst = max(candidate.outputs, key=lambda output: output.relative_error.value)
        sentence = f"Largest relative error: {number(worst.relative_error.value)}, output {worst.name}."
    return Accuracy(sentence, _told(candidate, fits), fits, not broken)


def _figures(kl: float, change: float | None, fits: bool | None, within: tuple[str, ...] = ("", "")) -> list[Figure]:
    return [
        Figure("KL divergence", number(kl, 2), _noted(f"nats per token{within[0]}", fits)),
        Figure("Perplexity", signed_percent(change), _noted(f"relative to the reference{within[1]}", fits)),
    ]


def _within(bounds: tuple[float, float] | None, form: str = "") -> str:
    return f", 95 %: {interval(bounds, form)}" if bounds else ""


def _told(candidate: Candidate, fits: bool | None) -> str:
    return _whose(f"{model_name(candidate.model)} ({candidate.runs})", fits)


def _whose(name: str, fits: bool | None) -> str:
    return f"Of {name}." if fits else f"{_PERHAPS if fits is None else _NOT}: {name}."


def _noted(text: str, fits: bool | None) -> str:
    return f"{text}, of another plan" if fits is False else text
