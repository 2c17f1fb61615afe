"""ovpass report: write an HTML report."""

from __future__ import annotations

from pathlib import Path

import click

from ovpass.cli.options import PATH, quiet_option
from ovpass.cli.output import progress, say
from ovpass.cli.report_output import check_output


@click.command("report")
@click.argument("sources", nargs=-1, required=True, type=PATH, metavar="RUN...|MODEL")
@click.option("-o", "--output", required=True, type=PATH, metavar="OUT", help="Output file, .html.")
@click.option("--run", "wanted", multiple=True, metavar="COMMANDS", help="Run these on MODEL first (repeatable).")
@click.option("--against", multiple=True, type=PATH, help="Compare with this saved result (repeatable).")
@click.option("--note", default="", metavar="TEXT", help="Note for the reader, such as the origin of the model.")
@quiet_option
def command(
    sources: tuple[Path, ...],
    output: Path,
    wanted: tuple[str, ...],
    against: tuple[Path, ...],
    note: str,
    quiet: bool,
) -> None:
    """Write an HTML report from saved results, or directly from a model.

    A RUN is the --json output of another command. With a MODEL, --run names the commands: --run inspect,verify,evaluate
    runs them with their defaults. A command with options needs its own --run:
    --run "verify --simulate arc-a770 --find-threshold". MODEL and RUNs can be combined.
    """
    from ovpass.cli.report_runs import make_report  # noqa: PLC0415 - not needed to print help
    from ovpass.support.atomic_output import write_text  # noqa: PLC0415

    place = check_output(output, [*sources, *against])
    with progress(quiet=quiet) as step:
        write_text(place, make_report(sources, wanted, against, note, step))
    if not quiet:
        say(f"Written to {output}: {place.stat().st_size / 1024:.0f} KB.")
