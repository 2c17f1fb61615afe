"""Render the report as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ovpass.reporting import formatting
from ovpass.reporting.answering import compares_caches, kv_cache
from ovpass.reporting.compare import compare
from ovpass.reporting.measurements import BenchRun, EvaluateRun, Score
from ovpass.reporting.rendering import TEMPLATES, environment, markup, page_style
from ovpass.reporting.reproduction import commands
from ovpass.reporting.side import Side
from ovpass.reporting.view import make_view
from ovpass.support.atomic_output import write_text
from ovpass.support.extras import require_package
from ovpass.support.formatting import number
from ovpass.version import __version__

_METRICS = {
    "ttft_ms": "First token, ms",
    "tpot_ms": "Next tokens, ms",
    "latency_ms": "Latency, ms",
    "inferences_per_second": "Inferences/s",
}


def write_report(side: Side, path: Path, *, against: Side | None = None, note: str = "") -> None:
    """Write the page, whole or not at all.

    Raises:
        OvpassError: as `make_page`.
        OutputError: if the file cannot be written.
    """
    write_text(path, make_page(side, against=against, note=note))


def make_page(side: Side, *, against: Side | None = None, note: str = "") -> str:
    """The page of a side, or of its comparison with another; `note` is shown on it.

    Raises:
        RunError: for sides that cannot be compared.
        ExtraError: if a package is missing.
    """
    return render(side, note) if against is None else render_comparison(against, side, note)


PACKAGES = ("jinja2", "matplotlib")
"""Of the extra `report`."""


def check_extra() -> None:
    """Make sure, before anything takes long, that a page can be made.

    Raises:
        ExtraError: if a package is missing.
    """
    for package in PACKAGES:
        require_package(package, "report", "a report")


def render(side: Side, note: str = "") -> str:
    """The page of one side."""
    content = {"view": make_view(side), "commands": commands(side.runs, note=note)}
    return _render("single.html", {"title": side.title, "note": note, **content})


def render_comparison(left: Side, right: Side, note: str = "") -> str:
    """The page of two sides, A and B.

    Raises:
        RunError: for models that have no site in common.
    """
    comparison = compare(left, right)
    views = [make_view(left, "A"), make_view(right, "B")]
    title = left.title if left.title == right.title else f"{left.title} and {right.title}"
    content = {"comparison": comparison, "views": views, "commands": commands(left.runs, right.runs, note)}
    return _render("compare.html", {"title": title, "note": note, **content})


def _render(template: str, content: Mapping[str, Any]) -> str:
    templates = environment()
    templates.globals.update(
        number=number,
        percent=formatting.percent,
        signed_percent=formatting.signed_percent,
        interval=formatting.interval,
        ratio=formatting.ratio,
        model_name=formatting.model_name,
        metrics=_metrics,
        scores=_scores,
        kv_cache=kv_cache,
        compares_caches=compares_caches,
        sortable_group=_sortable_group,
    )
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text: str = templates.get_template(template).render(
        **content,
        style=markup(page_style()),
        script=markup(script),
        script_hash=f"sha256-{digest}",
        version=__version__,
        date=date.today().isoformat(),
    )
    return text


def _metrics(bench: BenchRun) -> list[tuple[str, str]]:
    """What was measured, and what it is called."""
    return [
        (key, title)
        for key, title in _METRICS.items()
        if any(getattr(entry, key) is not None for entry in bench.measurements)
    ]


def _scores(run: EvaluateRun) -> Iterator[tuple[str, str, str, Score]]:
    """Task, metric, model and score, the reference first."""
    models = {"reference": run.reference_harness, **{c.model: c.harness for c in run.candidates}}
    for task, values in run.reference_harness.items():
        for metric in values:
            for model, harness in models.items():
                if metric in harness.get(task, {}):
                    yield task, metric, model, harness[task][metric]


def _sortable_group(group: str | None) -> str:
    """Group sizes in order, all of K the largest."""
    return "" if group is None else group if group.isdecimal() else str(2**62)
