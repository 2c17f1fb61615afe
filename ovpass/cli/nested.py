"""Run a command inside another one, as if it had been typed."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from ovpass.cli.main import cli
from ovpass.cli.run_header import remember_arguments
from ovpass.errors import CheckFailedError, SettingsError


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """The command line, as commands need it around them, for a program that has not come by it."""
    if click.get_current_context(silent=True) is not None:
        yield
        return
    with click.Context(cli, info_name="ovpass"):
        yield


def run_command(name: str, arguments: Sequence[str]) -> Any:
    """Return the JSON of a command; a check that failed is part of it.

    Raises:
        OvpassError: as the command does. Wrong usage is a SettingsError.
    """
    command = importlib.import_module(f"ovpass.cli.{name}").command
    context = click.get_current_context()
    typed = [*arguments, "--json"]
    remember_arguments(context, [name, *typed])
    try:
        child = command.make_context(name, list(typed), parent=context)
    except click.UsageError as error:
        raise SettingsError(f"{name}: {error.format_message()}") from error
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(CheckFailedError), child:
        command.invoke(child)
    return json.loads(out.getvalue())
