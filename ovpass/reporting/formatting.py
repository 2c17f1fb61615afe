"""Format numbers and commands."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath

from ovpass.support.formatting import number

PER_TOKEN = "per-token"
_NOTHING = 0.5
_SETTINGS = re.compile(r"@(?![^=,]*/)")
"""The @ before settings. Folders can have one in their names, too, and a / follows; no name of a setting has that."""


def percent(share: float | None) -> str:
    """A share as percent; what is not all is never rounded to all."""
    if share is None or not math.isfinite(share):
        return number(share)
    shown = math.floor(share * 1000) / 10 if share < 1 else 100.0
    return f"{shown:.0f} %" if shown == 100 else f"{shown:.1f} %"


def signed_percent(value: float | None) -> str:
    """A change in percent."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{value:+.2f} %" if abs(value) < 1e6 else f"{'+' if value > 0 else ''}{number(value)} %"


def interval(bounds: tuple[float, float] | None, form: str = "") -> str:
    """A 95 % interval, in the notation of its value unless `form` says another; empty where there is none."""
    if bounds is None:
        return ""
    low, high = (f"{bound:{form}}" if form and abs(bound) < 1e6 else number(bound, 2) for bound in bounds)
    return f"{low} to {high}"


def ratio(value: float | None) -> str:
    """How many times as much."""
    return f"{value:.2f}" if value is not None and abs(value) < 1e6 else number(value)


def change(value: float | None) -> str:
    """A ratio of times in words, so that nobody takes it for a speed-up."""
    if value is None or not math.isfinite(value):
        return number(value)
    by = abs(value - 1) * 100
    if by < _NOTHING:
        return "the same"
    return f"{number(by, 2)} % {'less' if value < 1 else 'more'}"


def group_words(group: str) -> str:
    """A group size in a sentence."""
    return {PER_TOKEN: "per token", "mixed": "in groups of several sizes"}.get(group, f"in groups of {group}")


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def model_name(text: str) -> str:
    """A model as it was typed, with absolute paths cut to names: a page is sent to others."""
    at = _SETTINGS.search(text)
    if at is None:
        return _last(text)
    parts = [_cut(part, "=") for part in text[at.end() :].split(",")]
    return f"{_last(text[: at.start()])}@{','.join(parts)}"


def _cut(part: str, sign: str) -> str:
    name, found, value = part.partition(sign)
    return f"{name}{found}{_last(value)}"


def _last(path: str) -> str:
    return PurePath(path).name if path.startswith(("/", "~")) else path


def from_home(path: str) -> str:
    """A path with ~ for the home folder: a page is sent to others."""
    home = f"{os.path.expanduser('~')}/"  # noqa: PTH111 - pathlib raises where a user has no home
    return f"~/{path[len(home) :]}" if path.startswith(home) else path


def command_line(words: Sequence[str]) -> str:
    """A command as a shell takes it, with paths from home."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    short = from_home(word)
    return shlex.quote(word) if short == word else f"~/{shlex.quote(short[2:])}"  # no shell expands a quoted ~
