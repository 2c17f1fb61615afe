"""ovpass apply: rewrite a model and save it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ovpass.cli.grouped_help import GroupedCommand
from ovpass.cli.options import (
    PATH,
    copy_option,
    json_option,
    model_argument,
    output_option,
    overwrite_option,
    settings_from,
    settings_given,
    settings_options,
    verbosity,
)
from ovpass.cli.output import print_json, print_table, progress, verdict
from ovpass.cli.plan import print_plans
from ovpass.cli.verify_output import print_reports, raise_unless_ok
from ovpass.errors import SettingsError
from ovpass.planning.json_report import plans_to_dict
from ovpass.planning.plan import load_plans
from ovpass.support.formatting import counted
from ovpass.support.progress import Progress
from ovpass.transformation.json_report import transformed_to_dict
from ovpass.transformation.result import Transformed
from ovpass.transformation.transform import transform
from ovpass.verification.json_report import reports_to_dict
from ovpass.verification.report import Report
from ovpass.verification.verify_model import verify_for_target


@click.command("apply", cls=GroupedCommand)
@model_argument
@output_option
@settings_options
@click.option("--plan", "plan_file", type=PATH, help="Apply this plan file.")
@click.option("--verify", "verifying", is_flag=True, help="Then check that the plugin follows the plan.")
@click.option("--allow-crash", is_flag=True, help="Write sites that are known to crash the plugin.")
@overwrite_option
@copy_option
@json_option
@verbosity
def command(
    model: Path,
    output: Path,
    plan_file: Path | None,
    verifying: bool,
    overwrite: bool,
    copy_weights: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Rewrite MODEL with settings or a plan, and write it to OUT. MODEL itself never changes."""
    if plan_file is not None and settings_given(options):
        raise SettingsError("--plan: a plan has its settings in it; change those and plan again, or leave it out")
    started = time.perf_counter()
    with progress(quiet=quiet) as step:
        done = transform(
            model,
            output,
            None if plan_file else settings_from(options),
            plans=load_plans(plan_file) if plan_file else None,
            overwrite=overwrite,
            copy_weights=copy_weights,
            allow_crash=options["allow_crash"],
            progress=step,
        )
        seconds = time.perf_counter() - started
        reports = _verified(done, step) if verifying else {}
    if as_json:
        verified = {"verify": reports_to_dict(reports)} if reports else {}
        print_json({**plans_to_dict(done.plans), **transformed_to_dict(done), "seconds": round(seconds, 3), **verified})
    elif not quiet:
        print_plans(done.plans, verbose=verbose)
        print_transformed(done, seconds)
        if reports:
            print_reports(reports, verbose=verbose)
    raise_unless_ok(reports)


def _verified(done: Transformed, step: Progress) -> dict[str, Report]:
    step("verifying")
    return verify_for_target(done.output, next(iter(done.plans.values())).settings.target)


def print_transformed(done: Transformed, seconds: float) -> None:
    """The passes as a table, and where the output is."""
    rows = [
        (
            result.name,
            ", ".join(_changed(n, what) for what, n in result.counts.items() if n) or None,
            f"{result.seconds:.2f}",
        )
        for results in done.results.values()
        for result in results
    ]
    print_table(("Pass", "Changed", "Seconds"), rows, numeric=("Seconds",))
    how = ", ".join(sorted(set(done.weights.values())))
    verdict(f"Written to {done.output} in {seconds:.2f} s; weights {how}.", ok=True)


def _changed(count: int, what: str) -> str:
    """`1 site`, `2 sites`; names of methods, such as rank-4 and f16-weights, have no singular."""
    return counted(count, what.removesuffix("s")) if what.isalpha() else f"{count} {what}"
