"""ovpass schema: describe the JSON of a command."""

from __future__ import annotations

import click

from ovpass.cli.json_text import json_text


@click.command("schema")
@click.argument("name", metavar="COMMAND")
def command(name: str) -> None:
    """Print the JSON Schema (2020-12) of what COMMAND prints with --json."""
    from ovpass.schemas import load_schema  # noqa: PLC0415 - not needed to print help

    click.echo(json_text(load_schema(name)))
