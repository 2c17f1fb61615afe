"""Results by submodel in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ovpass.api.results import ByModel
from ovpass.notebooks import plan, sites, verification
from ovpass.notebooks.panel import Panel, render
from ovpass.planning.plan import Plan
from ovpass.transformation.inspection import Inspected
from ovpass.verification.report import Report

_PANELS: Mapping[type[Any], Callable[[Any, str], Panel]] = {
    Inspected: sites.panel,
    Plan: plan.panel,
    Report: verification.panel,
}


def html(results: ByModel[Any]) -> str:
    """One panel for each model."""
    return render([_PANELS[type(result)](result, key) for key, result in results.items()])
