"""Where the log messages of ovpass's modules go: to standard error, to a file, or nowhere."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from ovpass.errors import OutputError
from ovpass.support.printable import in_one_line

_LOGGER = logging.getLogger("ovpass")
_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Names of files and layers can have control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return in_one_line(super().format(record))


class _ToStandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Nobody may read it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the library's
        pass


class _ToFile(logging.FileHandler):
    """A new file, made with the first message. A message that cannot be written ends the command."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the library's
        raise OutputError(f"{self.baseFilename}: cannot write the log; is the disk full?")


def log_to_standard_error(context: click.Context) -> None:
    """Print all messages until the command ends."""
    _log_to(_ToStandardError(), context)


def log_to_file(context: click.Context, path: Path) -> None:
    """Write all messages to a new file until the command ends.

    Raises:
        OutputError: if the file exists, or its folder cannot be written.
    """
    if os.path.lexists(path):
        raise OutputError(f"{path}: exists; remove it, or name another file for the log")
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"{path}: cannot be written: its folder is missing or not writable")
    _log_to(_ToFile(path, mode="x", encoding="utf-8", delay=True), context)


def logs_to_standard_error() -> bool:
    """Whether messages are printed, which a progress bar would garble."""
    return any(isinstance(handler, _ToStandardError) for handler in _LOGGER.handlers)


def _log_to(handler: logging.Handler, context: click.Context) -> None:
    handler.setFormatter(_OneLine(_FORM))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.DEBUG)
    _LOGGER.propagate = False  # libraries can give the root logger a handler of their own

    def end() -> None:
        _LOGGER.removeHandler(handler)
        handler.close()
        if not _LOGGER.handlers:
            _LOGGER.setLevel(logging.NOTSET)
            _LOGGER.propagate = True

    context.find_root().call_on_close(end)
