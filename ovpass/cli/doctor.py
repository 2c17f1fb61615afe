"""ovpass doctor: look at the environment."""

from __future__ import annotations

from dataclasses import asdict

import click

from ovpass.cli.options import json_option, quiet_option
from ovpass.cli.output import print_json, print_table, verdict


@click.command("doctor")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool) -> None:
    """Show versions, extras, compiler and devices, and what to install for the commands that lack something."""
    from ovpass.verification.environment import examine  # noqa: PLC0415 - not needed to print help

    findings = examine()
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    elif not quiet:
        print_table(("", "Found", "To get it"), [(item.name, item.found, item.advice) for item in findings])
        missing = sum(item.advice is not None for item in findings)
        verdict(f"{missing} of {len(findings)} could be added." if missing else "Everything is there.", ok=not missing)
