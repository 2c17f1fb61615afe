"""ovpass verify: check what the plugin quantizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ovpass.cli.options import PATH, json_option, parse_properties, verbosity
from ovpass.cli.output import note, print_json, print_table, print_title, progress, say, verdict
from ovpass.errors import CheckFailedError, SettingsError
from ovpass.planning.plan import Plan, load_plans
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import format_group_size
from ovpass.targets.names import get_target, profiles
from ovpass.verification.execution_graph import ExecutionGraph, read_execution_graph
from ovpass.verification.from_graph import verify_graph
from ovpass.verification.intercept_log import InterceptLog, read_intercept_log
from ovpass.verification.json_report import answers_to_dict, graph_to_dict, intercept_log_to_dict, reports_to_dict
from ovpass.verification.report import Report, describe
from ovpass.verification.side_by_side import ALL, Answer, verify_on_all
from ovpass.verification.simulated_gpu import INSTALL_HELP
from ovpass.verification.verify_model import CPU, GPU, Question, verify


@click.command("verify")
@click.argument("model", type=PATH, required=False)
@click.option(
    "--device",
    default="GPU",
    callback=lambda *args: args[-1].upper(),
    help="Device: CPU, GPU, or GPU.1 for one of several.  [default: GPU]",
)
@click.option("--simulate", help=f"Simulate a GPU: {', '.join((*profiles(), ALL))}.")
@click.option("--plan", "plan_file", type=PATH, help="Compare with this plan.")
@click.option("--tokens", help="Run with these token counts, such as 1,64,65,512.")
@click.option("--find-threshold", is_flag=True, help="Find the largest token count without quantization.")
@click.option("--property", "properties", multiple=True, metavar="K=V", help="Compile property (repeatable).")
@click.option("--intercept-log", type=PATH, help="Read a log of the OpenCL Intercept Layer.")
@click.option("--execution-graph", type=PATH, help="Read an execution graph, from any machine, instead of compiling.")
@click.option("--timeout", default=900.0, help="Time limit for the GPU plugin, in seconds.")
@click.option("--install-help", is_flag=True, help="Show how to install the simulated GPU.")
@json_option
@verbosity
def command(
    model: Path | None,
    plan_file: Path | None,
    tokens: str | None,
    properties: tuple[str, ...],
    intercept_log: Path | None,
    install_help: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Check which sites of MODEL the plugin quantizes, and compare with the plan.

    The plan is that of --plan, else the plan that apply recorded in MODEL, else the device's rules.
    """
    if install_help:
        click.echo(INSTALL_HELP)
        return
    log = None if intercept_log is None else read_intercept_log(intercept_log)
    if log is not None and not as_json and not quiet:
        _print_log(log)
    if (graph_file := options.pop("execution_graph")) is not None:
        graph, plans = read_execution_graph(graph_file), load_plans(plan_file) if plan_file else None
        reports = {} if model is None else {"": verify_graph(model, graph, Question(device=options["device"]), plans)}
        _print_graph(graph, reports, as_json=as_json, quiet=quiet, verbose=verbose)
        return
    if model is None:
        if log is None:
            raise SettingsError("name a MODEL, an --intercept-log or an --execution-graph to read")
        if as_json:
            print_json(intercept_log_to_dict(log))
        return
    everywhere = options["simulate"] == ALL
    options["simulate"] = None if everywhere else options["simulate"]
    question = Question(tokens=_numbers(tokens), properties=parse_properties(properties), **options)
    plans = load_plans(plan_file) if plan_file else None
    if everywhere:
        _verify_everywhere(model, question, plans, as_json=as_json, quiet=quiet)
        return
    with progress(quiet=quiet) as step:
        step("compiling")
        reports = verify(model, question, plans)
    if as_json:
        print_json(
            {**reports_to_dict(reports), **({} if log is None else {"intercept_log": intercept_log_to_dict(log)})}
        )
    elif not quiet:
        print_reports(reports, verbose=verbose)
    raise_unless_ok(reports)


def _verify_everywhere(
    model: Path, question: Question, plans: Mapping[str, Plan] | None, *, as_json: bool, quiet: bool
) -> None:
    with progress(quiet=quiet) as step:
        answers = verify_on_all(model, question, plans, step)
    if as_json:
        print_json(answers_to_dict(answers))
    elif not quiet:
        rows = [row for answer in answers for row in _rows(answer)]
        print_table(("Device", "Target", "As planned", "Group sizes found", "Driver"), rows)
        for answer in answers:
            if answer.error:
                note(f"{answer.device}: {answer.error.splitlines()[0]}")
    differing = [answer.device for answer in answers if not answer.ok]
    if differing:
        raise CheckFailedError(f"not as planned on {', '.join(differing)}")


def _print_graph(
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


def _rows(answer: Answer) -> list[tuple[object, ...]]:
    target = get_target(answer.device).name
    if answer.error:
        return [(answer.device, target, None, None, None)]
    return [
        (
            f"{answer.device}{f', {key}' if key else ''}",
            target,
            f"{len(report.sites) - len(report.mismatches)} of {len(report.sites)}",
            ", ".join(f"{describe(size)}: {n}" for size, n in Counter(s.found for s in report.sites).items()),
            report.driver,
        )
        for key, report in answer.reports.items()
    ]


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return () if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--tokens {text!r}: write numbers with commas between, for example 1,64,65") from None


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
        for text in report.notes:
            note(text)
        agree = len(report.sites) - len(report.mismatches)
        nodes = "" if report.device == CPU else f"; {counted(report.dynamic_quantize_nodes, 'DynamicQuantize node')}"
        device = report.device if report.simulated else ", ".join(filter(None, (report.device, report.device_name)))
        verdict(f"{agree} of {counted(len(report.sites), 'site')} as planned on {device}{nodes}.", ok=report.ok)


def _print_runs(report: Report) -> None:
    if report.thresholds:
        rows = [(run.tokens, run.executed, run.skipped) for run in report.thresholds]
        print_table(("Tokens", "Executed", "Skipped"), rows, numeric=("Tokens", "Executed", "Skipped"))
    if report.threshold == 0:
        say("Quantization runs for any number of tokens.")
    elif report.threshold is not None:
        say(f"Quantization is skipped up to {counted(report.threshold, 'token')}.")


def raise_unless_ok(reports: Mapping[str, Report]) -> None:
    """Fail the command where a plugin did not follow its plan."""
    differing = sum(len(report.mismatches) for report in reports.values())
    if differing:
        raise CheckFailedError(f"{counted(differing, 'site is', 'sites are')} not as planned")


def _print_log(log: InterceptLog) -> None:
    kernels = log.dynamic_quantize
    if kernels:
        rows = [(k.name, k.calls, None if k.total_ns is None else f"{k.total_ns / 1000:.1f}") for k in kernels]
        print_table(("Kernel", "Calls", "Total us"), rows, numeric=("Calls", "Total us"))
    verdict(f"{log.dynamic_quantize_calls} dynamic_quantize calls.")
