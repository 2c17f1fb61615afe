"""Compare two sides, differences first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ovpass.reporting.accuracy import accuracy
from ovpass.reporting.checks import RunError
from ovpass.reporting.conditions import environment_of, pairs, settings_facts
from ovpass.reporting.lead import Delta, Lead, Measure, lead
from ovpass.reporting.models import one_model
from ovpass.reporting.side import Side
from ovpass.reporting.sites import Site
from ovpass.reporting.timing import times
from ovpass.reporting.verdict import figures
from ovpass.support.formatting import counted, number

NONE = "-"


@dataclass(frozen=True)
class Row:
    """A figure, or a setting, of both sides."""

    label: str
    left: str
    right: str
    setting: bool = False
    delta: Delta | None = None

    @property
    def same(self) -> bool:
        """Whether there is nothing to see."""
        return self.left == self.right


@dataclass(frozen=True)
class Pair:
    """A site of both sides; None where a side has none of that name."""

    site: Site
    left: Site | None
    right: Site | None


@dataclass(frozen=True)
class Comparison:
    """Which side is better, and what differs: `rows`, those that differ first, and `sites` that fare differently."""

    rows: tuple[Row, ...]
    sites: tuple[Pair, ...]
    summary: str
    lead: Lead

    @property
    def figures(self) -> list[Row]:
        """What was found."""
        return [row for row in self.rows if not row.setting]

    @property
    def settings(self) -> list[Row]:
        """What was set."""
        return [row for row in self.rows if row.setting]


def compare(left: Side, right: Side) -> Comparison:
    """Compare two sides, of one model or of two with sites in common.

    Raises:
        RunError: for models that have no site in common.
    """
    names = [{site.key for site in side.sites} for side in (left, right)]
    if names[0] and names[1] and not names[0] & names[1]:
        raise RunError(f"{left.title} and {right.title} have no site in common: there is nothing to compare")
    pairs_of_sites = _pairs(left, right) if all(names) else []
    better = lead(left, right)
    rows = sorted(_with_deltas(_rows(left, right), better.measures), key=lambda row: row.same)
    settings, others = (sum(row.setting is which for row in rows if not row.same) for which in (True, False))
    summary = (
        f"{counted(settings, 'setting')}, {counted(others, 'figure')} and {counted(len(pairs_of_sites), 'site')} differ"
        f"{'' if _one_model(left, right) else '; they are different models'}."
    )
    return Comparison(tuple(rows), tuple(pairs_of_sites), summary, better)


def _pairs(left: Side, right: Side) -> list[Pair]:
    before, after = ({site.key: site for site in side.sites} for side in (left, right))
    pairs_of_sites = [Pair(site, before.get(key), after.get(key)) for key, site in {**after, **before}.items()]
    return [pair for pair in pairs_of_sites if _differ(pair.left, pair.right)]


def _differ(left: Site | None, right: Site | None) -> bool:
    """What only one side was asked for makes no difference between sites."""
    if left is None or right is None:
        return True
    if (left.action, left.group, left.how) != (right.action, right.group, right.how):
        return True
    if None not in (left.found, right.found) and left.found != right.found:
        return True
    return None not in (left.cost, right.cost) and number(left.cost, 2) != number(right.cost, 2)


def _rows(left: Side, right: Side) -> list[Row]:
    timed = times(left.benchmarks, right.benchmarks)
    return [
        *_paired(_settings(left), _settings(right), setting=True),
        *_paired({**_figures(left), **timed[0]}, {**_figures(right), **timed[1]}),
        *_paired(_origin(left), _origin(right)),
    ]


def _with_deltas(rows: list[Row], measures: Sequence[Measure]) -> list[Row]:
    """Rows of numbers that both sides measured say which is better."""
    found = {measure.name: measure.delta for measure in measures}
    return [replace(row, delta=found.get(row.label)) for row in rows]


def _paired(left: Mapping[str, str], right: Mapping[str, str], *, setting: bool = False) -> list[Row]:
    return [Row(name, left.get(name, NONE), right.get(name, NONE), setting) for name in {**left, **right}]


def _settings(side: Side) -> dict[str, str]:
    return {**settings_facts(side), "Run with": " ".join(pairs(environment_of(side))) or "nothing more"}


def _figures(side: Side) -> dict[str, str]:
    """All but times: those of two sides are told of the lengths that both have."""
    found = {figure.label: f"{figure.value} {figure.note}".strip() for figure in figures(side, timed=False)}
    judged, cost = accuracy(side), side.measured
    if judged is not None:
        found["Accuracy"] = judged.whose
    if side.verified is not None:
        seen = side.verified
        found["Not as planned"] = f"{len(seen.mismatches)} of {counted(len(seen.sites), 'site')}"
        found["Skipped up to"] = NONE if seen.threshold is None else counted(seen.threshold, "token")
    if cost is not None:
        found[f"All {cost.by}s together cost"] = f"KL {number(cost.together.trimmed, 2)} nats per token"
    if cost is not None and cost.ranking:
        worst = cost.ranking[0]
        found[f"The costliest {cost.by}"] = f"{worst.name}: KL {number(worst.costs.trimmed, 2)}"
    return found


def _origin(side: Side) -> dict[str, str]:
    headers = [run.header for run in side.runs]
    return {
        "ovpass": ", ".join(sorted({header.ovpass for header in headers})),
        "OpenVINO": ", ".join(sorted({header.openvino for header in headers})),
        "Machine": ", ".join(sorted({header.machine.cpu for header in headers})),
        "Model": side.title,
    }


def _one_model(left: Side, right: Side) -> bool:
    try:
        one_model([*left.runs, *right.runs])
    except RunError:
        return False
    return True
