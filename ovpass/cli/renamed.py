"""Names that have a better one now still work, and the command line says so."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ovpass.errors import RenamedWarning
from ovpass.support.printable import in_one_line


@contextmanager
def renamed_names_noted() -> Iterator[None]:
    """Note on stderr the older names that a command was given, each once, unless it is to be quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RenamedWarning)
        show, told = warnings.showwarning, set[str]()

        def note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, RenamedWarning):
                show(message, category, *place, **more)
            elif str(message) not in told and not click.get_current_context().params.get("quiet"):
                told.add(str(message))
                click.echo(f"Note: {in_one_line(message)}.", err=True)

        warnings.showwarning = note
        yield
