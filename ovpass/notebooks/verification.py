"""A verification in a notebook."""

from __future__ import annotations

from collections import Counter

from ovpass.notebooks.panel import Cell, Panel, Table, render
from ovpass.support.formatting import counted
from ovpass.verification.report import Report, describe, threshold_in_words, verdict_of


def html(report: Report) -> str:
    """What was planned and found in numbers, sites that differ in full, and all of them to unfold."""
    return render([panel(report)])


def panel(report: Report, key: str = "") -> Panel:
    """The same, of the submodel `key`."""
    alike = Counter((describe(site.planned), describe(site.found), site.agrees) for site in report.sites)
    found = [(count, planned, _found(seen, agrees)) for (planned, seen, agrees), count in alike.items()]
    differing = [
        (Cell(site.name, below=site.reason), describe(site.planned), _found(describe(site.found), agrees=False))
        for site in report.mismatches
    ]
    sites = [(s.name, describe(s.planned), _found(describe(s.found), s.agrees)) for s in report.sites]
    runs = [(run.tokens, run.executed, run.skipped) for run in report.thresholds]
    columns = ("Tokens", "Executed", "Skipped")
    words = [] if report.threshold is None else [threshold_in_words(report.threshold)]
    where = f"Verification on {report.device}{f', simulated {report.simulated}' if report.simulated else ''}"
    return Panel(
        f"{where}, {key}" if key else where,
        verdict_of(report),
        "on" if report.ok else "differs",
        (
            Table(("Sites", "Planned", "Found"), found, numeric=("Sites",)),
            Table(("Differs", "Planned", "Found"), differing),
            Table(columns, runs, numeric=columns),
            Table(("Site", "Planned", "Found"), sites, title=f"All {counted(len(sites), 'site')}", folded=True),
        ),
        (*words, *(f"Note: {text}." for text in report.notes)),
    )


def _found(text: object, agrees: bool) -> Cell:
    return Cell(text, "" if agrees else "differs")
