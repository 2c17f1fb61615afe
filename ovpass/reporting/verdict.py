"""The verdict: is it on, where, what does it cost and gain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.planning.plan import EXEMPT
from ovpass.reporting.accuracy import Accuracy, Figure, accuracy
from ovpass.reporting.answering import answers_told, chosen_cache
from ovpass.reporting.conditions import environment_of, pairs
from ovpass.reporting.formatting import change, group_words, interval, listed, model_name, percent, ratio
from ovpass.reporting.measurements import BenchRun, Series
from ovpass.reporting.rules import rules_for
from ovpass.reporting.schema import VerifyRun
from ovpass.reporting.side import Side
from ovpass.reporting.sites import left_out, share_of_work
from ovpass.support.formatting import counted, number

_SHOWN = 4
METRICS = {"ttft_ms": "Time to first token", "tpot_ms": "Time per output token", "latency_ms": "Latency"}
"""Times by what they are called."""


@dataclass(frozen=True)
class Line:
    """One line of the verdict; `state` is on, expected, off, differs or unknown."""

    question: str
    state: str
    answer: str
    details: tuple[str, ...] = ()


def verdict(side: Side) -> tuple[Line, Line, Line]:
    """The three lines."""
    return _is_on(side), _where(side), _costs(side)


def _is_on(side: Side) -> Line:
    question = "Is it on?"
    total, on = len(side.sites), sum(site.on for site in side.sites)
    if side.verified is None:
        if not side.sites:
            return Line(question, "unknown", "Unknown: run inspect, plan or verify.")
        answer = f"Expected, not verified: {side.target} quantizes {on} of {counted(total, 'site')}."
        return Line(question, "expected", answer, ("Run verify to check the plugin.", *_needed(side)))
    seen = side.verified
    details = [f"Checked with the real plugin on a simulated {seen.simulated}."] if seen.simulated else []
    state, answer, more = _verdict_of_plugin(side, seen, on)
    return Line(question, state, answer, (*details, *more, *_needed(side)))


def _needed(side: Side) -> list[str]:
    variables = pairs(environment_of(side))
    return [f"Only if run with {' '.join(variables)}."] if variables else []


def _verdict_of_plugin(side: Side, seen: VerifyRun, on: int) -> tuple[str, str, Sequence[str]]:
    """State, answer and details."""
    device, checked = seen.device, counted(len(seen.sites), "site")
    if not seen.sites:
        return "unknown", f"Unknown: the {device} plugin does not show it.", seen.notes
    other = counted(side.strangers, "site")
    if side.strangers:
        answer = f"Not this plan: the {device} plugin was checked with another, which differs in {other}."
        return "differs", answer, ["Verify the model that has this plan, or pass the plan to verify with --plan."]
    if not seen.ok:
        return "differs", f"Not as planned: {len(seen.mismatches)} of {checked} differ on {device}.", ()
    if not on:
        return "off", f"Off: the {device} plugin quantizes none of {checked}.", ()
    return "on", f"On: the {device} plugin quantizes {on} of {checked}, all as planned.", ()


def _where(side: Side) -> Line:
    question = "Where?"
    on = [site for site in side.sites if site.on]
    if not side.sites:
        return Line(question, "unknown", "Unknown: run inspect or plan to list the sites.")
    if not on:
        return Line(question, "off", "Nowhere.", tuple(_limits(side)))
    share = share_of_work(side.sites, on)
    part = (
        f"{percent(share)} of the work{' of these' if side.picked else ''}"
        if share is not None
        else counted(len(on), "site")
    )
    answer = f"In {part}, {_groups(side)}."
    return Line(question, "on" if len(on) == len(side.sites) else "expected", answer, tuple(_limits(side)))


def _groups(side: Side) -> str:
    sizes = Counter(site.found or site.group for site in side.sites if site.on)
    return listed([group_words(str(size)) for size, _ in sizes.most_common(_SHOWN)])


def _limits(side: Side) -> list[str]:
    details = [f"Only the sites that match {side.picked}."] if side.picked else []
    exempt = [site for site in left_out(side.sites) if not site.on]
    if exempt:
        rules = rules_for(exempt, side.sites)
        more = f" and {len(rules) - _SHOWN} more rules" if len(rules) > _SHOWN else ""
        details.append(f"{counted(len(exempt), 'site')} exempt on purpose: {', '.join(rules[:_SHOWN])}{more}.")
    others = sum(not site.on and site.action != EXEMPT for site in side.sites)
    if others > 0:
        details.append(f"{counted(others, 'other site')} not quantized; the table gives the reasons.")
    for asked, count in Counter(site.asked for site in side.sites if site.asked).most_common(_SHOWN):
        details.append(f"For {counted(count, 'site')}, the source file requests {asked}.")
    threshold = side.verified.threshold if side.verified else None
    if threshold:
        details.append(f"Only for more than {counted(threshold, 'token')} at a time.")
    return details


def _costs(side: Side) -> Line:
    cost, gain = accuracy(side), _time(side)
    answer = cost.sentence if cost else "Accuracy: not measured; run evaluate."
    details = [*chosen_cache(side), *answers_told(side), *(gain or ["Time: not measured; run bench."])]
    return Line(
        "What does it cost and gain?", _cost_state(side, cost), answer, (*([cost.whose] if cost else []), *details)
    )


def _cost_state(side: Side, cost: Accuracy | None) -> str:
    """On only where both cost and gain are of what is shown, and nothing got slower."""
    if cost is None:
        return "unknown"
    if not cost.finite:
        return "differs"
    timed = bool(side.benchmarks) and all(_as_verified(side, bench) for bench in side.benchmarks)
    return "on" if cost.fits and timed and not _longer(side) else "expected"


def slower(side: Side) -> list[str]:
    """What surely takes longer, by its interval, on the very device that was verified."""
    seen = side.verified
    if seen is None or seen.simulated:
        return []
    return [
        f"{what.lower()} {_times(series)} on {seen.device}"
        for what, device, series in _longer(side)
        if device == seen.device and series.interval is not None and series.interval[0] > 1
    ]


def _longer(side: Side) -> list[tuple[str, str, Series]]:
    return [
        (what, bench.device, series)
        for bench in side.benchmarks
        for subject in range(1, len(bench.subjects))
        for what, _, series in longest(bench, subject)
        if series.ratio is not None and series.ratio > 1
    ]


def _time(side: Side) -> list[str]:
    details = []
    for bench in side.benchmarks:
        for subject in range(1, len(bench.subjects)):
            ratios = [
                f"{what.lower()}{f' at {tokens} tokens' if tokens else ''} {_times(series)}"
                for what, tokens, series in longest(bench, subject)
                if series.ratio is not None
            ]
            if ratios:
                own, first = (
                    model_name(text) for text in _apart(bench.subjects[subject].model, bench.subjects[0].model)
                )
                details.append(f"{_timed_on(side, bench)}, {own} instead of {first}: {', '.join(ratios)}.")
    return details


def _timed_on(side: Side, bench: BenchRun) -> str:
    return f"On {bench.device}" if _as_verified(side, bench) else f"On {bench.device}, not the device that was verified"


def _as_verified(side: Side, bench: BenchRun) -> bool:
    """Whether the device that was timed is that which was asked; there may be none of the latter."""
    return side.verified is None or side.verified.device == bench.device


def _apart(own: str, first: str) -> tuple[str, str]:
    """Two models in no more words than tell them apart: of one model only the settings that differ."""
    (path, _, settings), (other, _, others) = own.partition("@"), first.partition("@")
    if path != other:
        return own, first
    parts = [part for part in settings.split(",") if part not in others.split(",")]
    lost = [part for part in others.split(",") if part not in settings.split(",")]
    return ", ".join(parts) or "as it is", ", ".join(lost) or "as it is"


def _times(series: Series) -> str:
    within = f" (ratio {ratio(series.ratio)}, 95 %: {interval(series.interval, '.2f')})" if series.interval else ""
    return f"{change(series.ratio)}{within}"


def longest(bench: BenchRun, subject: int) -> list[tuple[str, int | None, Series]]:
    """What a model took for the longest prompt, by what was measured."""
    own = [entry for entry in bench.measurements if entry.subject == subject]
    if not own:
        return []
    last = max(own, key=lambda entry: entry.prompt_tokens or 0)
    found = {title: getattr(last, metric) for metric, title in METRICS.items()}
    return [(title, last.prompt_tokens, series) for title, series in found.items() if series is not None]


def figures(side: Side, *, timed: bool = True) -> list[Figure]:
    """What there is to see at a glance, with times unless told otherwise."""
    found: list[Figure] = []
    if side.sites:
        on = [site for site in side.sites if site.on]
        found.append(Figure("Sites quantized", f"{len(on)} of {len(side.sites)}"))
        share = share_of_work(side.sites, on)
        if share is not None:
            found.append(Figure("Work quantized", percent(share), "of multiplications"))
    cost = accuracy(side)
    found += cost.figures if cost else []
    for bench in [bench for bench in side.benchmarks if timed and _as_verified(side, bench)][:1]:
        subject = len(bench.subjects) - 1
        for what, tokens, series in longest(bench, subject)[:1]:
            at = f"at {tokens} tokens, " if tokens else ""
            within = (
                f"ratio {ratio(series.ratio)}, 95 %: {interval(series.interval, '.2f')}, " if series.interval else ""
            )
            value = f"{number(series.median)} ms" if series.ratio is None else change(series.ratio)
            found.append(Figure(what, value, f"{within}{at}{bench.device}"))
    return found
