"""Verification reports and intercept logs as plain data for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ovpass.targets.group_sizes import format_group_size
from ovpass.targets.names import get_target
from ovpass.verification.execution_graph import ExecutionGraph
from ovpass.verification.from_log import LogReport
from ovpass.verification.intercept_log import InterceptLog
from ovpass.verification.report import CacheCheck, Report, SiteCheck, describe
from ovpass.verification.side_by_side import Answer


def reports_to_dict(reports: Mapping[str, Report]) -> dict[str, Any]:
    """The reports on the models of one source: the sites of all of them in one list."""
    first = next(iter(reports.values()))

    def listed(of: Callable[[Report], Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
        return [
            {**({"submodel": key} if key else {}), **entry} for key, report in reports.items() for entry in of(report)
        ]

    return {
        "ok": all(report.ok for report in reports.values()),
        "device": first.device,
        "device_name": first.device_name,
        "simulated": first.simulated,
        "driver": first.driver,
        "sites": listed(
            lambda report: (
                {**_site(site), "group_size": None if site.found is None else describe(site.found)}
                for site in report.sites
            )
        ),
        "dynamic_quantize_nodes": sum(report.dynamic_quantize_nodes for report in reports.values()),
        "mismatches": listed(lambda report: ({**_site(s), "reason": s.reason} for s in report.mismatches)),
        "thresholds": listed(
            lambda report: (
                {"tokens": run.tokens, "executed": run.executed > 0, "quantizers": run.executed + run.skipped}
                for run in report.thresholds
            )
        ),
        "threshold": next((report.threshold for report in reports.values() if report.threshold is not None), None),
        "kv_cache": listed(lambda report: () if report.cache is None else (_cache(report.cache),)),
        "notes": list(dict.fromkeys(note for report in reports.values() for note in report.notes)),
    }


def answers_to_dict(answers: Sequence[Answer]) -> dict[str, Any]:
    """What all simulated devices said, each as in `reports_to_dict`, or its error."""
    return {
        "ok": all(answer.ok for answer in answers),
        "devices": [
            {
                "simulated": answer.device,
                "target": get_target(answer.device).name,
                **({"error": answer.error, "missing": answer.missing} if answer.error else {}),
                **(reports_to_dict(answer.reports) if answer.reports else {}),
            }
            for answer in answers
        ],
    }


def _cache(check: CacheCheck) -> dict[str, Any]:
    return {"planned": dict(check.planned), "found": dict(check.found), "agrees": check.agrees}


def _site(check: SiteCheck) -> dict[str, Any]:
    return {"name": check.name, "planned": describe(check.planned), "found": describe(check.found)}


def graph_to_dict(graph: ExecutionGraph) -> dict[str, Any]:
    """The products of an execution graph."""
    return {
        "execution_graph": str(graph.path),
        "device": graph.device,
        "dynamic_quantize_nodes": graph.quantizers,
        "products": [
            {
                "name": product.name,
                "original_layers": list(product.originals),
                "activation_type": product.activation_type,
                "group_size": None if product.group_size is None else describe(product.group_size),
                "kernel": product.kernel,
            }
            for product in graph.products
        ],
    }


def log_report_to_dict(report: LogReport) -> dict[str, Any]:
    """How a log compares with a plan; times in nanoseconds."""
    return {
        "ok": report.ok,
        "problem": report.problem,
        "activations": [
            {
                "k": list(time.k),
                "group_sizes": [format_group_size(size) for size in time.group_sizes],
                "activations": time.activations,
                "sites": list(time.sites),
                "calls": time.calls,
                "total_ns": time.total_ns,
                "average_ns": time.average_ns,
            }
            for time in report.times
        ],
        "notes": list(report.notes),
    }


def intercept_log_to_dict(log: InterceptLog) -> dict[str, Any]:
    """The dynamic_quantize calls of a log; times in nanoseconds."""
    return {
        "dynamic_quantize_calls": log.dynamic_quantize_calls,
        "kernels": [{"name": k.name, "calls": k.calls, "total_ns": k.total_ns} for k in log.dynamic_quantize],
    }
