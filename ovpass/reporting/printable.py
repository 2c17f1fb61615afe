"""Escape bytes and characters that are not printable."""

from __future__ import annotations

import re
from typing import Any

# Half characters cannot be written at all. Of controls, lines and tabs are part of files. The directional ones can make
# a name look like another: https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with what cannot be shown as it is written as escapes."""
    return _UNFIT.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_data(data: Any) -> Any:
    """Plain data with all its texts made printable."""
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {printable_data(key): printable_data(value) for key, value in data.items()}
    return [printable_data(item) for item in data] if isinstance(data, list) else data
