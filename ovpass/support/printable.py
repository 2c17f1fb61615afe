"""Make text from elsewhere safe to show: escape control characters, half characters and those that change direction."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

# Half characters cannot be written at all. Of controls, lines and tabs are part of files. The directional ones can make
# a name look like another: https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNFIT = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_DIRECTIONS}\ud800-\udfff]")
_UNFIT_IN_LINE = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}\ud800-\udfff]")
_LONGEST, _CUT = 2_000, " ... "


def printable(text: str) -> str:
    """The text with what cannot be shown as it is written as escapes; its lines and tabs stay."""
    return _UNFIT.sub(_escaped, text)


def in_one_line(text: object) -> str:
    """The same in one line, for a terminal: ends of lines and tabs are escapes, too."""
    return _UNFIT_IN_LINE.sub(_escaped, str(text))


def brief(text: object) -> str:
    """The same for a message: its lines in one, and without its middle if that is too long."""
    line = in_one_line(" ".join(filter(None, (part.strip() for part in str(text).splitlines()))))
    kept = (_LONGEST - len(_CUT)) // 2
    return line if len(line) <= _LONGEST else f"{line[:kept]}{_CUT}{line[-kept:]}"


def printable_data(data: Any) -> Any:
    """Plain data with all its texts made printable."""
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {printable_data(key): printable_data(value) for key, value in data.items()}
    return [printable_data(item) for item in data] if isinstance(data, list) else data


def shell_word(text: object) -> str:
    """One word of a command as a shell takes it: quoted where it must be, and printable."""
    word = str(text)
    if not _UNFIT_IN_LINE.search(word):
        return shlex.quote(word)
    plain = word.replace("\\", r"\\").replace("'", r"\'")
    return f"$'{_UNFIT_IN_LINE.sub(_bytes, plain)}'"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _bytes(found: re.Match[str]) -> str:
    """Octal, of which a shell reads three digits: of hexadecimal ones some read as many as follow."""
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(found[0]))
