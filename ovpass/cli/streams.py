"""Standard streams as commands can rely on them: open, of any size, and for any text."""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from collections.abc import Mapping

CLOSED_PIPE = 141
"""What shells report for a command whose reader went away: 128 + SIGPIPE."""

_LIKE = {"─": "-", "━": "-", "…": "..."}
"""What stands for our own characters in encodings that have none."""
_NARROWEST, _WIDEST = 20, 10_000
_SIZES = ("COLUMNS", "LINES")


def prepare_streams() -> None:
    """Open closed streams on the null device, and let characters that an encoding lacks be shown as escapes.

    Files that are opened later would take the numbers of closed streams, and what libraries print would go into them.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    codecs.register_error("ovpass", _shown)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the whole run
        elif isinstance(stream, io.TextIOWrapper) and name != "stdin":
            stream.reconfigure(errors="ovpass")


def _shown(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in characters that it has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_LIKE.get(c) or c.encode("ascii", "backslashreplace").decode("ascii") for c in text), error.end


def sizes_of_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without a width or height that nobody can have meant, such as 0."""
    return {name: value for name, value in environment.items() if name not in _SIZES or _is_size(value)}


def nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone, as `head` does; if so, further output is dropped."""
    poll = select.poll()
    poll.register(1, 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    drop_output()
    return True


def drop_output() -> None:
    """Write no more to standard output: what is still buffered would fail again when the process ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _is_size(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 6 and _NARROWEST <= int(value) <= _WIDEST
