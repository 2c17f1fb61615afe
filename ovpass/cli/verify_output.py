"""Print what verify found: reports on models, execution graphs and intercept logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ovpass.cli.output import note, print_json, print_table, print_title, say, verdict
from ovpass.errors import CheckFailedError
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import format_group_size
from ovpass.verification.execution_graph import ExecutionGraph
from ovpass.verification.from_log import LogReport
from ovpass.verification.intercept_log import InterceptLog
from ovpass.verification.json_report import (
    graph_to_dict,
    intercept_log_to_dict,
    log_report_to_dict,
    reports_to_dict,
)
from ovpass.verification.question import GPU
from ovpass.verification.report import Report, describe, threshold_in_words, verdict_of


def print_reports(reports: Mapping[str, Report], *, verbose: bool) -> None:
    """Mismatches in full, the rest in numbers."""
    for key, report in reports.items():
        if key:
            print_title(key)
        if verbose:
            rows = [(s.name, describe(s.planned), describe(s.found)) for s in report.sites]
            print_table(("Site", "Planned", "Found"), rows)
        else:
            alike = Counter((describe(s.planned), describe(s.found)) for s in report.sites)
            print_table(("Sites", "Planned", "Found"), [(n, *pair) for pair, n in alike.items()], numeric=("Sites",))
        if report.mismatches:
            differing = [(s.name, describe(s.planned), describe(s.found), s.reason) for s in report.mismatches]
            print_table(("Differs", "Planned", "Found", "Reason"), differing)
        _print_runs(report)
        for text in (*report.notes, *([] if report.cache is None else [str(report.cache)])):
            note(text)
        verdict(verdict_of(report), ok=report.ok)


def _print_runs(report: Report) -> None:
    if report.thresholds:
        rows = [(run.tokens, run.executed, run.skipped) for run in report.thresholds]
        print_table(("Tokens", "Executed", "Skipped"), rows, numeric=("Tokens", "Executed", "Skipped"))
    if report.threshold is not None:
        say(threshold_in_words(report.threshold))


def raise_unless_ok(reports: Mapping[str, Report]) -> None:
    """Fail the command where a plugin did not follow its plan."""
    differing = sum(len(report.mismatches) for report in reports.values())
    if differing:
        raise CheckFailedError(f"{counted(differing, 'site is', 'sites are')} not as planned")
    for report in reports.values():
        if not report.ok:
            raise CheckFailedError(str(report.cache))


def print_graph(
    graph: ExecutionGraph, reports: Mapping[str, Report], *, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """What a graph shows of a model, or without one all that it shows."""
    if as_json:
        print_json(
            {**reports_to_dict(reports), "execution_graph": str(graph.path)} if reports else graph_to_dict(graph)
        )
    elif reports and not quiet:
        print_reports(reports, verbose=verbose)
    elif not quiet:
        rows = [(p.name, p.activation_type, format_group_size(p.group_size), p.kernel) for p in graph.products]
        print_table(("Product", "Activation", "Group", "Kernel"), rows, numeric=("Group",))
        nodes = f"; {counted(graph.quantizers, 'DynamicQuantize node')}" if graph.device == GPU else ""
        verdict(f"{counted(len(graph.products), 'product')} on {graph.device}{nodes}.")
    raise_unless_ok(reports)


def print_log(log: InterceptLog, compared: LogReport | None, *, as_json: bool, quiet: bool) -> None:
    """What a log shows, and how it compares with the plan of a model."""
    if as_json:
        print_json({**intercept_log_to_dict(log), **({} if compared is None else log_report_to_dict(compared))})
    elif not quiet:
        rows = [(k.name, k.calls, _microseconds(k.total_ns)) for k in log.dynamic_quantize]
        if rows:
            print_table(("Kernel", "Calls", "Total us"), rows, numeric=("Calls", "Total us"))
        if compared is not None:
            _print_times(compared)
        verdict(f"{log.dynamic_quantize_calls} dynamic_quantize calls.", ok=compared is None or compared.ok)
    if compared is not None and compared.problem is not None:
        raise CheckFailedError(compared.problem)


def _print_times(compared: LogReport) -> None:
    rows = [
        (
            ", ".join(map(str, time.k)),
            ", ".join(str(format_group_size(size)) for size in time.group_sizes),
            len(time.sites),
            time.activations,
            time.calls,
            _microseconds(time.average_ns),
        )
        for time in compared.times
    ]
    columns = ("K", "Group", "Sites", "Activations", "Calls", "us a call")
    if rows:
        print_table(columns, rows, numeric=columns[2:])
    for text in compared.notes:
        note(text)


def _microseconds(nanoseconds: float | None) -> str | None:
    return None if nanoseconds is None else f"{nanoseconds / 1000:.1f}"
