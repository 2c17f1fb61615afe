"""Standard streams as commands can rely on them, and text that is safe to show on a terminal."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping
from typing import NoReturn

CLOSED_PIPE = 141
"""What shells report for a command whose reader went away: 128 + SIGPIPE."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NARROWEST, _WIDEST = 20, 10_000
_LONGEST, _CUT = 2_000, " ... "
_SIZES = ("COLUMNS", "LINES")


def prepare_streams() -> None:
    """Give closed streams a place to go, and let characters that an encoding lacks be shown as escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole run
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def visible(text: str) -> str:
    """The text with control characters as escapes: names come from files, and a terminal obeys what it is sent.

    Line feeds and tabs stay. Characters that turn the direction of writing are escaped, too.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def in_one_line(text: str) -> str:
    """`visible` for a cell of a table or a step of progress: line feeds and tabs are escaped as well."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def brief(text: str) -> str:
    """`visible` for a message: one line, and without its middle where that is too long."""
    line = visible(" ".join(filter(None, (part.strip() for part in text.split("\n")))))
    kept = (_LONGEST - len(_CUT)) // 2
    return line if len(line) <= _LONGEST else f"{line[:kept]}{_CUT}{line[-kept:]}"


def sizes_of_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without a width or height that nobody can have meant, such as 0."""
    return {name: value for name, value in environment.items() if name not in _SIZES or _is_size(value)}


def leave_closed_pipe() -> NoReturn:
    """End quietly: whoever read the output has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(CLOSED_PIPE)


def _is_size(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 6 and _NARROWEST <= int(value) <= _WIDEST
