"""The command line's entry point. Each command is a module that is imported when it runs."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import click

from ovpass.cli import COMMANDS
from ovpass.cli.defaults import default_arguments
from ovpass.cli.renamed import renamed_names_noted
from ovpass.cli.run_header import remember_arguments
from ovpass.cli.signals import ending_in_order
from ovpass.cli.streams import drop_output, nobody_reads, prepare_streams
from ovpass.errors import CheckFailedError, OvpassError
from ovpass.support.choices import near_choice
from ovpass.support.printable import brief, printable
from ovpass.version import __version__

_COMPLETION = "_OVPASS_COMPLETE"
"""The environment variable by which shells ask what can be typed."""


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
        name, command, typed = super().resolve_command(ctx, args)
        if name is None or command is None or ctx.resilient_parsing or not ctx.params.get("defaults"):
            return name, command, typed
        given = [*default_arguments(name, command, typed, Path.cwd()), *typed]
        remember_arguments(ctx, [name, *given])
        return name, command, given

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


@contextmanager
def _brief_usage_errors() -> Iterator[None]:
    """Click repeats the argument that it refuses, whatever is in it."""
    try:
        yield
    except click.UsageError as error:
        raise click.UsageError(brief(error.format_message()), error.ctx) from error


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a check failed, 2 wrong usage, settings or input, 130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", prog_name="ovpass")
@click.option(
    "--no-defaults", "defaults", flag_value=False, default=True, help="Ignore ovpass.toml and pyproject.toml."
)
def cli(defaults: bool) -> None:
    """Find, plan, rewrite and verify dynamic quantization of activations in OpenVINO models.

    MODEL is an .xml file, or a model folder of OpenVINO GenAI or optimum-intel.
    """


def main() -> NoReturn:
    """Run the command line, and exit.

    Exit codes: 1 for a failed check, 2 for an error, 128 and the number of the signal that ended the command: 130 for
    an interruption, 141 if nobody reads standard output any more.
    """
    prepare_streams()
    with ending_in_order():
        sys.exit(_run())


def _run() -> int:
    """Run the command line, and return its exit code."""
    try:
        return _called()
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(printable(shown.getvalue()), err=True, nl=False)
        return error.exit_code
    except CheckFailedError as error:
        return _complained(1, "Failed", error)
    except OvpassError as error:
        return _complained(2, "Error", error)
    except KeyboardInterrupt as error:
        _complained(0, "Interrupted", str(error) or "outputs are there whole or not at all")
        raise SystemExit(128 + signal.SIGINT) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            return 128 + signal.SIGPIPE
        # What is written to files says so itself: without a name it is what was printed.
        place = "standard output" if error.filename is None else os.fsdecode(error.filename)
        if error.filename is None:
            drop_output()
        return _complained(2, "Error", f"{place}: {error.strerror or error}")


def _called() -> int:
    """Parse the arguments and run a command; click's own `main` has other exit codes for interruptions and pipes."""
    if _COMPLETION in os.environ:
        from click.shell_completion import shell_complete  # noqa: PLC0415 - only shells need it

        return shell_complete(cli, {}, "ovpass", _COMPLETION, os.environ[_COMPLETION])
    try:
        with cli.make_context("ovpass", sys.argv[1:]) as context, renamed_names_noted(), _brief_usage_errors():
            cli.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _complained(code: int, word: str, why: object) -> int:
    from ovpass.cli.output import complain  # noqa: PLC0415 - not needed to print help

    with suppress(OSError):  # who has closed standard error does not want to know
        complain(word, why)
    return code
