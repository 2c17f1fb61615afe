"""Sensitivity as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ovpass.tuning.sensitivity import Sensitivity, SensitivityReport


def sensitivity_to_dict(report: SensitivityReport) -> dict[str, Any]:
    """The report for JSON; KL in nats a token."""
    return {
        "model": report.model,
        "by": report.by,
        "tokens": report.tokens,
        "together": asdict(report.together),
        "ranking": [_unit(entry) for entry in report.ranking],
        "skipped": report.skipped,
    }


def _unit(entry: Sensitivity) -> dict[str, Any]:
    facts = None
    if entry.facts is not None:
        errors = {str(group): error for group, error in entry.facts.errors.items()}
        facts = {**asdict(entry.facts), "errors": errors}
    return {
        "name": entry.unit.name,
        "kind": entry.unit.kind,
        "layer": entry.unit.layer,
        "sites": list(entry.unit.members),
        "group_size": entry.group_size,
        "costs": asdict(entry.costs),
        "saves": None if entry.saves is None else asdict(entry.saves),
        "activation": facts,
        "screened": entry.screened,
    }
