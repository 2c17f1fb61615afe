"""Say which side of a comparison is better, in words and two bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ovpass.reporting.accuracy import accuracy
from ovpass.reporting.accuracy_matching import is_tuned, matched
from ovpass.reporting.formatting import listed, percent
from ovpass.reporting.side import Side
from ovpass.reporting.sites import share_of_work
from ovpass.reporting.verdict import METRICS
from ovpass.support.formatting import number

BETTER, WORSE, SAME = "better", "worse", "same"
_NOTHING = 1e-3
_FULL = 100.0


@dataclass(frozen=True)
class Delta:
    """How B differs from A: `text` says it in words, `sense` is of B: better, worse or same."""

    text: str
    sense: str


@dataclass(frozen=True)
class Bar:
    """A value of one side; `width` is in percent of the longer bar."""

    text: str
    width: float


@dataclass(frozen=True)
class Measure:
    """A number that both sides have. `name` is that of its row; `scale` is the unit, and which end is good."""

    name: str
    scale: str
    bars: tuple[Bar, Bar]
    delta: Delta

    @property
    def label(self) -> str:
        """The name with the scale."""
        return f"{self.name}, {self.scale}"


@dataclass(frozen=True)
class Lead:
    """The answer: `sentence` says which side is better, and `measures` why."""

    sentence: str
    measures: tuple[Measure, ...]


def lead(left: Side, right: Side) -> Lead:
    """What the numbers that both sides measured say of B; no side is better where they disagree."""
    measures = tuple(_measures(left, right))
    return Lead(_sentence(measures), measures)


def _sentence(measures: tuple[Measure, ...]) -> str:
    if not measures:
        return "Neither side is known to be better: they have no cost, work or time in common."
    names = {sense: [_lower(m) for m in measures if m.delta.sense == sense] for sense in (BETTER, WORSE)}
    if not names[BETTER] and not names[WORSE]:
        return f"Both sides are the same in {listed([_lower(m) for m in measures])}."
    if names[BETTER] and names[WORSE]:
        return f"It depends: B is better in {listed(names[BETTER])}, A in {listed(names[WORSE])}."
    side, won = ("B", names[BETTER]) if names[BETTER] else ("A", names[WORSE])
    equal = [_lower(m) for m in measures if m.delta.sense == SAME]
    return f"{side} is better in {listed(won)}{f'; the same in {listed(equal)}' if equal else ''}."


def _lower(measure: Measure) -> str:
    name = measure.name.partition(",")[0]
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def _measures(left: Side, right: Side) -> Iterator[Measure]:
    costs, shares = _both(_kl(left), _kl(right)), _both(_share(left), _share(right))
    if costs is not None:
        yield _measure("KL divergence", "nats per token, less is better", costs, -1, lambda x: number(x, 2))
    if shares is not None:
        yield _measure("Work quantized", "more is better", shares, 1, percent)
    before, after = _times(left), _times(right)
    common = before.keys() & after.keys()
    for what in dict.fromkeys(key[:2] for key in before):
        lengths = [key[2] for key in common if key[:2] == what]
        if lengths:
            key = (*what, max(lengths))
            name = f"{what[0]}, {f'{key[2]} tokens, ' if key[2] else ''}{what[1]}"
            yield _measure(name, "less is better", (before[key], after[key]), -1, lambda x: f"{number(x)} ms")


def _both(left: float | None, right: float | None) -> tuple[float, float] | None:
    return None if left is None or right is None else (left, right)


def _measure(name: str, scale: str, values: tuple[float, float], sign: int, form: Callable[[float], str]) -> Measure:
    top = max(map(abs, values)) or 1.0
    left, right = (Bar(form(value), round(_FULL * abs(value) / top, 1)) for value in values)
    return Measure(name, scale, (left, right), delta(*values, sign))


def delta(left: float, right: float, sign: int) -> Delta:
    """B against A, where `sign` is 1 if more is better and -1 if less is."""
    if abs(right - left) <= _NOTHING * max(abs(left), abs(right)):
        return Delta("the same", SAME)
    sense = BETTER if (right - left) * sign > 0 else WORSE
    more = "more" if right > left else "less"
    if left == 0:
        return Delta(f"{sense}: {more}", sense)
    return Delta(f"{sense}: {number(abs(right / left - 1) * _FULL, 2)} % {more}", sense)


def _kl(side: Side) -> float | None:
    """Of what is shown, if measured and finite; another plan's is no reason to choose a side."""
    cost, found = accuracy(side), matched(side)
    if cost is None or cost.fits is False or not cost.finite:
        return None
    if found is not None and found.fits is not False:
        return found.candidate.kl.mean if found.candidate.kl is not None else None
    return side.tuned.held_out.kl if side.tuned is not None and is_tuned(side) else None


def _share(side: Side) -> float | None:
    return share_of_work(side.sites, [site for site in side.sites if site.on]) if side.sites else None


def _times(side: Side) -> Mapping[tuple[str, str, int], float]:
    """Medians of the last model by metric, device and length: the one that is compared."""
    return {
        (title, bench.device, entry.prompt_tokens or 0): series.median
        for bench in side.benchmarks
        for entry in bench.measurements
        for metric, title in METRICS.items()
        if entry.subject == len(bench.subjects) - 1 and (series := getattr(entry, metric)) is not None
    }
