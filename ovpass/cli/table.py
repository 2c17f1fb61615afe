"""Tables as wide as the terminal: cells are folded where names have joints, numbers and short words never."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

_EDGES, _BETWEEN = 2, 3
_LEAST = 12
"""Columns narrower than this are not folded."""
_JOINT = re.compile(r"(?<=[/._,:;@=|\-])(?=[^/._,:;@=|\-])")
_STYLES = {"quantize": "green", "chosen": "green", "exempt": "dim", "skip": "dim", "not quantized": "dim"}


def make_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str], width: int) -> Table:
    """A table of at most `width` characters, if its narrow columns allow; `numeric` columns are right-aligned."""
    widths = _widths(columns, rows, numeric, width - _EDGES - _BETWEEN * (len(columns) - 1))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, size in zip(columns, widths, strict=True):
        header = "\n".join(fold(column, size))
        table.add_column(header, justify="right" if column in numeric else "left", width=size, no_wrap=True)
    for row in rows:
        cells = zip(row, widths, strict=True)
        # Text, for names may hold what is markup to rich.
        table.add_row(*(Text("\n".join(fold(cell, size)), _STYLES.get(cell, "")) for cell, size in cells))
    return table


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


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str], room: int) -> list[int]:
    """As wide as the longest cell; the widest columns give way until all fit."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    can_fold = [number for number, column in enumerate(columns) if column not in numeric and widths[number] > _LEAST]
    while sum(widths) > room:
        widest = max((number for number in can_fold if widths[number] > _LEAST), key=widths.__getitem__, default=None)
        if widest is None:
            break
        widths[widest] -= 1
    return widths
