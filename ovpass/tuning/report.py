"""Sensitivity and tuning as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ovpass.tuning.sensitivity import Sensitivity, SensitivityReport
from ovpass.tuning.tuned import Point, Tuned, size_name


def sensitivity_to_dict(report: SensitivityReport) -> dict[str, Any]:
    """The report for JSON; KL in nats per token."""
    return {
        "model": report.model,
        "by": report.by,
        "tokens": report.tokens,
        "whole_model": report.whole,
        "peak_mb": report.peak_megabytes,
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


def tuned_to_dict(tuned: Tuned) -> dict[str, Any]:
    """The plan that was chosen, and all points that were measured; KL in nats per token."""
    return {
        "plan": tuned.plan.to_dict(),
        "chosen": _point(tuned.point),
        "held_out": tuned.held_out.to_dict(),
        "holds": tuned.holds,
        "finished": tuned.finished,
        "left_out": list(tuned.left_out),
        "frontier": [_point(point) for point in tuned.frontier],
        "measured": [_point(point) for point in tuned.points],
        "leaving": {str(size_name(size)): list(names) for size, names in tuned.leaving.items()},
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "group_size": size_name(point.group_size),
        "left_out": point.left_out,
        "share": point.share,
        "worth": point.worth,
        "spent": point.spent.to_dict(),
    }
