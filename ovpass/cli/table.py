"""Tables that fit the terminal: text wraps, numbers do not, and long names get lines of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

_EDGES, _BETWEEN = 2, 3
_INDENT = 4
"""How far a row stands behind a name on a line of its own."""
_LEAST = 12
"""Columns narrower than this are not folded."""
_JOINT = re.compile(r"(?<=[/._,:;@=|\-])(?=[^/._,:;@=|\-])")
_STYLES = {
    ("Action", "quantize"): "green",
    ("Action", "exempt"): "dim",
    ("Action", "skip"): "dim",
    ("Planned", "not quantized"): "dim",
    ("Found", "not quantized"): "dim",
    ("", "chosen"): "green",
}


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    right: bool

    def shown(self, line: str, cell: str) -> Text:
        """One line of a cell, in the column's width; as Text, for names may hold what is markup to rich."""
        aligned = line.rjust(self.width) if self.right else line.ljust(self.width)
        return Text(aligned, _STYLES.get((self.title, cell), ""))


def make_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str], width: int | None
) -> Text:
    """A table of at most `width` characters, where its narrow columns allow; None is all the room it takes.

    `numeric` columns are right-aligned. Where cells of the first column would be broken, each stands above the rest of
    its row, whole however long, so that names can be copied.
    """
    widths = _widths(columns, rows, numeric, width)
    names = [columns[0], *(row[0] for row in rows)]
    above = columns[0] not in numeric and widths[0] < max(map(len, names))
    if above:
        columns, rows = columns[1:], [row[1:] for row in rows]
        widths = _widths(columns, rows, numeric, None if width is None else width - _INDENT)
    shown = [_Column(title, size, title in numeric) for title, size in zip(columns, widths, strict=True)]
    head, *body = [_row(shown, cells) for cells in (columns, *rows)]
    if above:
        head, *body = [_below(name, row) for name, row in zip(names, (head, *body), strict=True)]
    head.stylize("bold")
    rule = "─" * (sum(widths) + _BETWEEN * (len(widths) - 1) + (_INDENT if above else 0))
    return Text("\n").join([head, Text(f" {rule}"), *body])


def _row(columns: Sequence[_Column], row: Sequence[str]) -> Text:
    """One row, as high as its highest cell."""
    cells = [(column, cell, fold(cell, column.width)) for column, cell in zip(columns, row, strict=True)]
    lines = []
    for number in range(max(len(folded) for *_, folded in cells)):
        parts = [column.shown("".join(folded[number : number + 1]), cell) for column, cell, folded in cells]
        lines.append(Text.assemble(" ", Text(" " * _BETWEEN).join(parts)))
        lines[-1].rstrip()
    return Text("\n").join(lines)


def _below(name: str, row: Text) -> Text:
    return Text("\n").join([Text(f" {name}"), *(Text.assemble(" " * _INDENT, line) for line in row.split("\n"))])


def fold(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at spaces, else behind the joints of a name, else anywhere."""
    if len(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        elif len(word) <= width:
            lines.append(word)
        else:
            lines += _fold_name(word, width)
    return lines[1:] if len(lines) > 1 and not lines[0] else lines


def _fold_name(name: str, width: int) -> list[str]:
    lines = [""]
    for part in _JOINT.split(name):
        rest = part
        if len(lines[-1]) + len(rest) > width:
            lines.append("")
        while len(rest) > width:
            lines[-1:] = [rest[:width], ""]
            rest = rest[width:]
        lines[-1] += rest
    return [line for line in lines if line]


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str], room: int | None
) -> list[int]:
    """As wide as the longest cell; the widest columns give way until all fit."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    can_fold = [number for number, column in enumerate(columns) if column not in numeric and widths[number] > _LEAST]
    while room is not None and _EDGES + sum(widths) + _BETWEEN * (len(widths) - 1) > room:
        widest = max((number for number in can_fold if widths[number] > _LEAST), key=widths.__getitem__, default=None)
        if widest is None:
            break
        widths[widest] -= 1
    return widths
