"""The command line's entry point. Each command is a module that is imported when it runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from ovpass.cli import COMMANDS
from ovpass.cli.renamed import renamed_names_noted
from ovpass.cli.run_header import remember_arguments
from ovpass.cli.signals import ending_in_order
from ovpass.cli.streams import brief, leave_closed_pipe, prepare_streams
from ovpass.errors import CheckFailedError, OvpassError
from ovpass.support.choices import near_choice
from ovpass.version import __version__

_INTERRUPTED = 130
"""What shells report for a command that Ctrl-C ended."""


class _LazyGroup(click.Group):
    """Lists commands by name and one line, and imports a command when it runs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        remember_arguments(ctx, args)
        if not args:
            return super().parse_args(ctx, args)  # shows the help, as an error
        with _brief_usage_errors():
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name].module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = near_choice(args[0], COMMANDS)
        if args[0] not in COMMANDS and near and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}; did you mean {near!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with renamed_names_noted(), _brief_usage_errors():
                found = super().invoke(ctx)
            sys.stdout.flush()
            return found
        except BrokenPipeError:
            leave_closed_pipe()
        except KeyboardInterrupt as interruption:  # click would exit with 1, which is a failed check
            _leave(_INTERRUPTED, "Interrupted", str(interruption) or "outputs are there whole or not at all")


@contextmanager
def _brief_usage_errors() -> Iterator[None]:
    """Click repeats the argument that it refuses, whatever is in it."""
    try:
        yield
    except click.UsageError as error:
        raise click.UsageError(brief(error.format_message()), error.ctx) from error


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ovpass")
def cli() -> None:
    """Find, plan, rewrite and verify dynamic quantization of activations in OpenVINO models.

    MODEL is an .xml file, or a model folder of OpenVINO GenAI or optimum-intel.
    """


def main() -> None:
    """Run the command line. Exit codes: 1 for a failed check, 2 for an error, 130 for an interruption."""
    prepare_streams()
    try:
        with ending_in_order():
            cli(prog_name="ovpass")
    except CheckFailedError as error:
        _leave(1, "Failed", error)
    except OvpassError as error:
        _leave(2, "Error", error)
    except OSError as error:
        # What is written to files says so itself: without a name it is what was printed.
        place = "standard output" if error.filename is None else os.fsdecode(error.filename)
        _leave(2, "Error", f"{place}: {error.strerror or error}")


def _leave(code: int, word: str, why: object) -> NoReturn:
    from ovpass.cli.output import complain  # noqa: PLC0415 - not needed to print help

    complain(word, why)
    sys.exit(code)
