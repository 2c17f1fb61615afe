"""Print JSON, tables, sentences and progress in one style.

Terminals that want colours get them. Piped output is plain.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.text import Text

from ovpass.cli.json_text import json_text
from ovpass.cli.logs import logs_to_standard_error
from ovpass.cli.notebook_progress import NotebookBar, in_notebook
from ovpass.cli.run_header import run_header
from ovpass.cli.streams import sizes_of_terminal
from ovpass.cli.table import make_table
from ovpass.planning.plan import Decision
from ovpass.planning.summary import alike
from ovpass.support.atomic_output import write_text
from ovpass.support.printable import brief, in_one_line, printable
from ovpass.support.progress import Progress
from ovpass.targets.group_sizes import format_group_size

_LOGGER = logging.getLogger(__name__)
_HEADING: ContextVar[str] = ContextVar("heading", default="")


def print_json(data: Mapping[str, Any]) -> None:
    """Plain data on stdout, and under "run" how the command was called."""
    click.echo(json_text({**data, "run": run_header()}))


def save_json(data: Mapping[str, Any], path: Path) -> None:
    """What `print_json` prints in a file, whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    write_text(path, json_text({**data, "run": run_header()}) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, numeric: Sequence[str] = ()) -> None:
    """A table on stdout; `numeric` columns are right-aligned, None is a dash."""
    cells = [["-" if cell is None else in_one_line(cell) for cell in row] for row in rows]
    console = _console()
    console.print(make_table(columns, cells, numeric, _room(console)), soft_wrap=True)


def print_title(text: str) -> None:
    """The name of what the tables below are about, on stdout."""
    say(text, "bold")


def say(text: str, style: str = "") -> None:
    """A sentence on stdout, broken between words on a terminal and in one line elsewhere."""
    console = _console()
    console.print(Text(in_one_line(text), style), soft_wrap=not console.is_terminal)


def note(text: str) -> None:
    """Something to know about the result, on stdout."""
    console = _console()
    console.print(Text.assemble(("Note:", "yellow"), f" {in_one_line(text)}."), soft_wrap=not console.is_terminal)


def verdict(text: str, *, ok: bool | None = None) -> None:
    """What it comes to, as the last sentence on stdout; `ok` where that can be good or bad."""
    say(text, {None: "bold", True: "bold green", False: "bold red"}[ok])


def complain(word: str, error: object) -> None:
    """Why there is no result, or no good one, in one line on stderr: `Error` or `Failed`."""
    console = _console(err=True)
    said = printable(str(error)) if getattr(error, "has_lines", False) else brief(error)
    console.print(Text.assemble((f"{word}:", "bold red"), f" {said}"), soft_wrap=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line: rich would exit with 1, which is a failed check."""
        raise  # noqa: PLE0704 - it is called while the error is handled


def _console(*, err: bool = False) -> Console:
    """It writes to the stream of now; where that is piped, or NO_COLOR is set, without colours, and bold is one."""
    terminal = (sys.stderr if err else sys.stdout).isatty()
    coloured = terminal and not os.environ.get("NO_COLOR")
    colours: Literal["auto"] | None = "auto" if coloured else None
    sizes = sizes_of_terminal(os.environ)
    return _Console(stderr=err, highlight=False, force_terminal=terminal, color_system=colours, _environ=sizes)


def _room(console: Console) -> int | None:
    """How wide tables are: lines that are piped are for programs, and as long as they are, unless COLUMNS is set."""
    return console.width if console.is_terminal or "COLUMNS" in sizes_of_terminal(os.environ) else None


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """The current step on stderr, where that is a terminal, or in a notebook: a bar where steps are counted.

    Each step is a log message, too.
    """
    if not quiet and in_notebook():
        shown = NotebookBar()
        try:
            yield _logged(shown.show)
        finally:
            shown.close()
        return
    if quiet or not sys.stderr.isatty() or logs_to_standard_error():
        yield _LOGGER.info
        return
    from ovpass.cli.progress import StepBar  # noqa: PLC0415 - not needed to print help

    bar = StepBar(_console(err=True))
    with bar.progress:
        yield _logged(bar.show)


@contextmanager
def headed(words: str) -> Iterator[None]:
    """Show these words before each step, as long as the context lasts: what the steps are part of."""
    token = _HEADING.set(f"{words}: ")
    try:
        yield
    finally:
        _HEADING.reset(token)


def _logged(show: Progress) -> Progress:
    def step(text: str) -> None:
        _LOGGER.info(text)
        show(f"{_HEADING.get()}{text}")

    return step


def print_decisions(decisions: Sequence[Decision], *, verbose: bool) -> None:
    """Every decision, or how many of each kind fare alike and why."""
    if verbose:
        sites = [(d.name, d.kind, d.layer, d.action, format_group_size(d.group_size), d.reason) for d in decisions]
        print_table(("Site", "Kind", "Layer", "Action", "Group", "Reason"), sites, numeric=("Layer", "Group"))
        return
    print_table(("Sites", "Kind", "Action", "Group", "Reason"), alike(decisions), numeric=("Sites", "Group"))
