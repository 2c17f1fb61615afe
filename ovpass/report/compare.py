"""Two sides, differences first."""

from __future__ import annotations

from dataclasses import dataclass

from ovpass.report.models import one_model
from ovpass.report.runs import RunError
from ovpass.report.side import Side
from ovpass.report.sites import Site
from ovpass.report.verdict import figures
from ovpass.words import counted

NONE = "not told"


@dataclass(frozen=True)
class Row:
    """A figure of both sides."""

    label: str
    left: str
    right: str

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
    """What differs. `rows` are figures, those that differ first; `sites` only those that fare differently."""

    rows: tuple[Row, ...]
    sites: tuple[Pair, ...]
    summary: str


def compare(left: Side, right: Side) -> Comparison:
    """Compare two sides, of one model or of two with sites in common.

    Raises:
        RunError: for models that have no site in common.
    """
    names = [{site.key for site in side.sites} for side in (left, right)]
    if names[0] and names[1] and not names[0] & names[1]:
        raise RunError(f"{left.title} and {right.title} have no site in common: there is nothing to compare")
    pairs = _pairs(left, right) if all(names) else []
    rows = sorted(_rows(left, right), key=lambda row: row.same)
    differing = sum(not row.same for row in rows)
    summary = (
        f"{counted(differing, 'figure')} and {counted(len(pairs), 'site')} differ"
        f"{'' if _one_model(left, right) else '; the two are of different models'}."
    )
    return Comparison(tuple(rows), tuple(pairs), summary)


def _pairs(left: Side, right: Side) -> list[Pair]:
    before, after = ({site.key: site for site in side.sites} for side in (left, right))
    return [
        Pair(site, before.get(key), after.get(key))
        for key, site in {**after, **before}.items()
        if _fate(before.get(key)) != _fate(after.get(key))
    ]


def _fate(site: Site | None) -> tuple[str, str | None, str | None] | None:
    return None if site is None else (site.action, site.group, site.found)


def _rows(left: Side, right: Side) -> list[Row]:
    shown = [
        {figure.label: f"{figure.value} {figure.note}".strip() for figure in figures(side)} for side in (left, right)
    ]
    rows = [Row(name, shown[0].get(name, NONE), shown[1].get(name, NONE)) for name in {**shown[0], **shown[1]}]
    facts = {
        "ovpass": [", ".join(sorted({run.header.ovpass for run in side.runs})) for side in (left, right)],
        "OpenVINO": [", ".join(sorted({run.header.openvino for run in side.runs})) for side in (left, right)],
        "Machine": [", ".join(sorted({run.header.machine.cpu for run in side.runs})) for side in (left, right)],
        "Model": [side.title for side in (left, right)],
    }
    return [*rows, *(Row(name, a, b) for name, (a, b) in facts.items())]


def _one_model(left: Side, right: Side) -> bool:
    try:
        one_model([*left.runs, *right.runs])
    except RunError:
        return False
    return True
