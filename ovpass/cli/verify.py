"""ovpass verify: check what the plugin quantizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ovpass.cli.options import PATH, json_option, parse_properties, verbosity
from ovpass.cli.output import note, print_json, print_table, progress
from ovpass.cli.verify_output import print_graph, print_log, print_reports, raise_unless_ok
from ovpass.errors import CheckFailedError, SettingsError
from ovpass.planning.plan import Plan, load_plans
from ovpass.targets.names import get_target, profiles
from ovpass.verification.execution_graph import read_execution_graph
from ovpass.verification.from_graph import verify_graph
from ovpass.verification.from_log import verify_log
from ovpass.verification.intercept_log import read_intercept_log
from ovpass.verification.json_report import answers_to_dict, reports_to_dict
from ovpass.verification.question import Question
from ovpass.verification.report import describe
from ovpass.verification.side_by_side import ALL, Answer, verify_on_all
from ovpass.verification.simulated_gpu import INSTALL_HELP
from ovpass.verification.verify_model import verify


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
@click.option(
    "--without-kernels",
    "kernels",
    flag_value=False,
    default=True,
    help="Ask for the GPU plugin's graph and compile no kernels, in a tenth of the time.",
)
@click.option("--property", "properties", multiple=True, metavar="K=V", help="Compile property (repeatable).")
@click.option("--intercept-log", type=PATH, help="Read a log of the OpenCL Intercept Layer, instead of compiling.")
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
    graph_file = options.pop("execution_graph")
    if intercept_log is not None and graph_file is not None:
        raise SettingsError("--intercept-log and --execution-graph are records of one run each; name one of them")
    plans = load_plans(plan_file) if plan_file else None
    everywhere = options["simulate"] == ALL
    options["simulate"] = None if everywhere else options["simulate"]
    question = Question(tokens=_numbers(tokens), properties=parse_properties(properties), **options)
    if intercept_log is not None:
        log = read_intercept_log(intercept_log)
        compared = None if model is None else verify_log(model, log, question, plans)
        print_log(log, compared, as_json=as_json, quiet=quiet)
        return
    if graph_file is not None:
        graph = read_execution_graph(graph_file)
        reports = {} if model is None else {"": verify_graph(model, graph, question, plans)}
        print_graph(graph, reports, as_json=as_json, quiet=quiet, verbose=verbose)
        return
    if model is None:
        raise SettingsError("name a MODEL, an --intercept-log or an --execution-graph to read")
    if everywhere:
        _verify_everywhere(model, question, plans, as_json=as_json, quiet=quiet)
        return
    with progress(quiet=quiet) as step:
        step("compiling")
        reports = verify(model, question, plans)
    if as_json:
        print_json(reports_to_dict(reports))
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
