"""Collect the runs that a report shows: read saved ones, and run commands on a model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovpass.cli.nested import run_command
from ovpass.errors import NoDeviceError, SettingsError
from ovpass.reporting.page import check_extra, make_page
from ovpass.reporting.runs import Run, load_run, make_run
from ovpass.reporting.side import Side, check_kinds
from ovpass.support.printable import printable
from ovpass.support.progress import Progress
from ovpass.targets.names import get_profile

_NO_RUN = {
    "-h": "gives no result to show",
    "--help": "gives no result to show",
    "--install-help": "gives no result to show",
    "--intercept-log": "reads a log and runs nothing",
}
_RUNNABLE = ("inspect", "plan", "verify", "evaluate", "sensitivity", "tune", "bench")


def make_report(
    sources: Sequence[Path], wanted: Sequence[str], against: Sequence[Path], note: str, progress: Progress
) -> str:
    """The page of saved runs, and of those that the commands `wanted` make on a model; `against` are the other side's.

    Raises:
        OvpassError: a subclass, for runs that cannot be read or compared, and as the commands do.
    """
    check_extra()
    orders = [order for text in wanted for order in _orders(text)]
    model, files = _split(sources, orders)
    loaded = [load_run(path) for path in files]
    Side.of(loaded)  # what does not belong together is refused before anything takes long
    check_kinds([*(run.header.command for run in loaded), *(order[0] for order in orders)])
    other = Side.of(load_run(path) for path in against) if against else None
    made: list[Run] = []
    for number, order in enumerate(orders, 1):
        progress(f"{order[0]}, {number} of {len(orders)}")
        made.append(make_run(_run(model, order), shlex.join(["ovpass", *order])))
    progress("drawing")
    return make_page(Side.of([*made, *loaded]), against=other, note=printable(note))


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
