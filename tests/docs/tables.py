"""Tables of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Section(NamedTuple):
    """What stands below a heading of the second level."""

    title: str
    text: str

    def rows(self) -> Iterator[list[str]]:
        """The cells of all tables, heads left out."""
        lines = self.text.splitlines()
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            if line.startswith("| ") and not below.startswith("|---"):
                yield cells(line)


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def sections(text: str) -> dict[str, Section]:
    """By title."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {title: Section(title, body) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def codes(cell: str) -> list[str]:
    """What a cell has in code."""
    return re.findall(r"`([^`]+)`", cell)
