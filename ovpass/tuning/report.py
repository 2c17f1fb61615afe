"""Sensitivity and tuning as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ovpass.tuning.kv_candidates import CacheKind
from ovpass.tuning.kv_tuned import CachePoint, TunedCache
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
        "kv_cache": None if tuned.cache is None else _cache(tuned.cache),
        "leaving": {str(size_name(size)): list(names) for size, names in tuned.leaving.items()},
    }


def _cache(cache: TunedCache) -> dict[str, Any]:
    return {
        "chosen": _cache_point(cache.chosen),
        "measured": [_cache_point(point) for point in cache.points],
        "bytes_in_f16": cache.bytes_in_f16,
        "chunk_tokens": cache.chunk,
        "looked_at": None if cache.looked_at is None else _kind(cache.looked_at),
        "few_layers": cache.few,
        "losses": [asdict(loss) for loss in cache.losses],
    }


def _cache_point(point: CachePoint) -> dict[str, Any]:
    options = point.kind.options
    stored = {"options": None if options is None else dict(options), "bytes_per_token": point.kind.bytes_per_token}
    return {**_kind(point.kind), **stored, "spent": point.spent.to_dict()}


def _kind(kind: CacheKind) -> dict[str, str]:
    return {"keys": str(kind.key), "values": str(kind.value)}


def _point(point: Point) -> dict[str, Any]:
    return {
        "group_size": size_name(point.group_size),
        "left_out": point.left_out,
        "share": point.share,
        "worth": point.worth,
        "spent": point.spent.to_dict(),
    }
