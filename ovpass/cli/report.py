"""ovpass report: write an HTML report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.nested import run_command
from ovpass.cli.options import PATH, quiet_option
from ovpass.cli.output import progress, say
from ovpass.cli.report_output import check_output
from ovpass.errors import NoDeviceError, SettingsError
from ovpass.support.printable import printable

if TYPE_CHECKING:
    from ovpass.reporting.runs import Run

_NO_RUN = {
    "-h": "gives no result to show",
    "--help": "gives no result to show",
    "--install-help": "gives no result to show",
    "--intercept-log": "reads a log and runs nothing",
}
_RUNNABLE = ("inspect", "plan", "verify", "evaluate", "sensitivity", "tune", "bench")


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
    from ovpass.reporting.page import check_extra, write_report  # noqa: PLC0415 - not needed to print help
    from ovpass.reporting.runs import load_run, make_run  # noqa: PLC0415
    from ovpass.reporting.side import Side, check_kinds  # noqa: PLC0415

    check_extra()
    place = check_output(output, [*sources, *against])
    orders = [order for text in wanted for order in _orders(text)]
    model, files = _split(sources, orders)
    loaded = [load_run(path) for path in files]
    Side.of(loaded)  # what does not belong together is refused before anything takes long
    check_kinds([*(run.header.command for run in loaded), *(order[0] for order in orders)])
    other = Side.of(load_run(path) for path in against) if against else None
    with progress(quiet=quiet) as step:
        made: list[Run] = []
        for number, order in enumerate(orders, 1):
            step(f"{order[0]}, {number} of {len(orders)}")
            made.append(make_run(_run(model, order), shlex.join(["ovpass", *order])))
        step("drawing")
        write_report(Side.of([*made, *loaded]), place, against=other, note=printable(note))
    if not quiet:
        say(f"Written to {output}: {place.stat().st_size / 1024:.0f} KB.")


def _orders(text: str) -> list[list[str]]:
    """Commands separated by commas, or one with its options."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SettingsError(f"--run {text!r}: cannot be read: {error}") from error
    orders = [words] if len(words) > 1 else [[name] for name in "".join(words).split(",")]
    for name, *_ in orders:
        if name not in _RUNNABLE:
            raise SettingsError(
                f"--run {text!r}: {name!r} is not one of {', '.join(_RUNNABLE)}; "
                "give a command with options its own --run"
            )
    for word in words:
        option = word.partition("=")[0]
        if option in _NO_RUN:
            raise SettingsError(f"--run {text!r}: {option} {_NO_RUN[option]}; leave it out")
    return orders


def _split(sources: Sequence[Path], orders: Sequence[Sequence[str]]) -> tuple[Path | None, list[Path]]:
    """The model to run commands on, if any, and the files of runs."""
    models = [path for path in sources if _is_model(path)]
    if models and not orders:
        raise SettingsError(
            f"{models[0]}: is a model; name commands to run on it, for example --run inspect,verify,evaluate"
        )
    if orders and len(models) != 1:
        given = ", ".join(map(str, sources))
        raise SettingsError(
            f"--run: name one MODEL to run it on, an .xml or a model folder; found {len(models)} in: {given}"
        )
    return (models[0] if models else None), [path for path in sources if path not in models]


def _is_model(path: Path) -> bool:
    try:
        return path.suffix == ".xml" or path.is_dir()
    except OSError:
        return False  # whoever reads it as a run says what is wrong


def _run(model: Path | None, order: Sequence[str]) -> Any:
    """What a command prints for `model`; one that asks the plugin asks it without a GPU where there is none."""
    from ovpass.targets.names import get_profile  # noqa: PLC0415

    name, *words = order
    given = [str(model), *(word.replace("{model}", str(model)) for word in words)]
    if list(order) == ["evaluate"]:
        given.append(f"{model}@profile=gpu-xmx")
    try:
        return run_command(name, given)
    except NoDeviceError:
        if name != "verify" or "--simulate" in given:
            raise
        return run_command(name, [*given, "--simulate", get_profile("gpu-xmx").name])
