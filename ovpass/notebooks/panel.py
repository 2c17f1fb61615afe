"""What a notebook shows of a result, as plain data, and its HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ovpass.reporting.formatting import interval
from ovpass.reporting.rendering import colours, environment, markup, tables

_TEMPLATES = Path(__file__).with_name("templates")
_REM = re.compile(r"([\d.]+)rem")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: `tag` is a state of the report that colours it, `below` is told in small print."""

    text: object
    tag: str = ""
    below: str = ""


@dataclass(frozen=True)
class Table:
    """Rows below labels; labels in `numeric` are of numbers. One that is `folded` shows its `title` until opened."""

    labels: Sequence[str]
    rows: Sequence[Sequence[object]]
    numeric: Sequence[str] = ()
    title: str = ""
    folded: bool = False

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Labels and classes."""
        return [(label, self._class(label)) for label in self.labels]

    @property
    def cells(self) -> list[list[tuple[Cell, str]]]:
        """The cells of each row, with the classes of their columns."""
        return [
            [(_cell(value), self._class(label)) for label, value in zip(self.labels, row, strict=True)]
            for row in self.rows
        ]

    def _class(self, label: str) -> str:
        return "num" if label in self.numeric else ""


@dataclass(frozen=True)
class Panel:
    """A result: a title, the answer with its state ("on", "off", "differs"), tables, and sentences below."""

    title: str
    answer: str
    state: str = ""
    tables: Sequence[Table] = ()
    sentences: Sequence[str] = ()


def render(panels: Sequence[Panel]) -> str:
    """The HTML of panels, complete with its style.

    Raises:
        ExtraError: if a package is missing.
    """
    html: str = _template().render(panels=panels, style=markup(_style()))
    return html


@cache
def _template() -> Any:
    return environment(_TEMPLATES).get_template("panel.html")


def _style() -> str:
    """The report's style for this element alone: a notebook is one page with all its outputs."""
    own = (_TEMPLATES / "panel.css").read_text(encoding="utf-8")
    sized = _REM.sub(r"calc(\1 * 15px)", tables())  # how large a rem is, the page around it says
    return f".ovpass {{\n{colours()}{sized}}}\n{own}"


def bounded(text: str, bounds: tuple[float, float] | None, form: str = "") -> Cell:
    """A value with its interval below, in the notation of `ovpass.reporting.formatting.interval`."""
    return Cell(text, below=interval(bounds, form))


def _cell(value: object) -> Cell:
    return value if isinstance(value, Cell) else Cell("-" if value is None else value)
