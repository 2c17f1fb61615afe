"""Results as HTML for notebooks, with the colours and tables of the report."""

from __future__ import annotations

import importlib
from typing import Any

from ovpass.errors import ExtraError

PANELS = {
    "ovpass.api.page.Page": "ovpass.notebooks.page",
    "ovpass.api.results.ByModel": "ovpass.notebooks.by_model",
    "ovpass.evaluation.language_model.TextReport": "ovpass.notebooks.comparison",
    "ovpass.evaluation.model_outputs.ArraysReport": "ovpass.notebooks.comparison",
    "ovpass.planning.plan.Plan": "ovpass.notebooks.plan",
    "ovpass.sites.find.Sites": "ovpass.notebooks.sites",
    "ovpass.transformation.inspection.Inspected": "ovpass.notebooks.sites",
    "ovpass.tuning.tuned.Tuned": "ovpass.notebooks.tuned",
    "ovpass.verification.report.Report": "ovpass.notebooks.verification",
}
"""The module whose `html` draws a class, by the class's name. It is imported when the first of these is drawn."""


def html_of(result: object) -> str | None:
    """The result as HTML; None where the extra `report` is not installed: the notebook then shows text."""
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(result).__mro__)
    drawing: Any = importlib.import_module(next(PANELS[name] for name in names if name in PANELS))
    try:
        html: str = drawing.html(result)
    except ExtraError:
        return None
    return html
