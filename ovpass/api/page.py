"""The HTML report as an object."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.api.models import Source, on_disk
from ovpass.cli.nested import command_line
from ovpass.cli.output import progress
from ovpass.cli.report_output import check_output
from ovpass.cli.report_runs import make_report
from ovpass.support.atomic_output import write_text
from ovpass.support.shown import Shown


@dataclass(frozen=True)
class Page(Shown):
    """A report: one HTML file without links to other hosts. `output` is where it was written, None: nowhere."""

    html: str = field(repr=False)
    output: Path | None = None


def report(
    *sources: Source,
    run: str | Sequence[str] = (),
    against: Path | str | Sequence[Path | str] = (),
    note: str = "",
    output: Path | str | None = None,
    quiet: bool = False,
) -> Page:
    """Make an HTML report from saved results, or directly from a model.

    A source is the --json output of a command, or a model, for which `run` names the commands: "inspect,plan,verify"
    runs them with their defaults. A command with options is a text of its own in a list. `against` are saved results to
    compare with. With `output` the page is written there, too.

    Raises:
        OvpassError: a subclass, for runs that cannot be read or compared, and as the commands do.
    """
    wanted = [run] if isinstance(run, str) else run
    others = [Path(path) for path in ([against] if isinstance(against, (str, Path)) else against)]
    with ExitStack() as stack:
        paths = [stack.enter_context(on_disk(source)) for source in sources]
        place = None if output is None else check_output(Path(output), [*paths, *others])
        step = stack.enter_context(progress(quiet=quiet))
        stack.enter_context(command_line())
        html = make_report(paths, wanted, others, note, step)
    if place is not None:
        write_text(place, html)
    return Page(html, place)
