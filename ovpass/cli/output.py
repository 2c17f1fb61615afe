"""What commands print: JSON, tables, and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ovpass.groups import format_group_size
from ovpass.ir.output import write_text
from ovpass.plan import Decision
from ovpass.rewrite import Progress
from ovpass.sites import KINDS


def print_json(data: Any) -> None:
    """Plain data on stdout."""
    click.echo(json.dumps(data, indent=2))


def save_json(data: Any, path: Path) -> None:
    """Plain data in a file, whole or not at all.

    Raises:
        OutputError: where it cannot be written.
    """
    write_text(path, json.dumps(data, indent=2) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, numeric: Sequence[str] = ()) -> None:
    """A table on stdout; `numeric` columns are right-aligned, None is a dash."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))  # names may hold markup
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n"))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A spinner with the current step on stderr, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda step: status.update(Text(step))


def group_cell(group_size: int | None) -> object:
    """A group size for a table."""
    return None if group_size is None else format_group_size(group_size)


def print_decisions(decisions: Sequence[Decision], *, verbose: bool) -> None:
    """Every decision, or how many of each kind fare alike and why."""
    if verbose:
        sites = [(d.name, d.kind, d.layer, d.action, group_cell(d.group_size), d.reason) for d in decisions]
        print_table(("Site", "Kind", "Layer", "Action", "Group", "Reason"), sites, numeric=("Layer", "Group"))
        return
    counted = Counter((d.kind, d.action, group_cell(d.group_size), d.reason) for d in decisions)
    rows = [(count, *key) for key, count in sorted(counted.items(), key=lambda item: by_kind(item[0][0]))]
    print_table(("Sites", "Kind", "Action", "Group", "Reason"), rows, numeric=("Sites", "Group"))


def by_kind(kind: str) -> int:
    """Kinds in the order in which a block computes them."""
    return KINDS.index(kind)
