"""Templates and styles, for the report and for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovpass.support.extras import extra_module

TEMPLATES = Path(__file__).with_name("templates")


def environment(*folders: Path) -> Any:
    """Where templates of these folders and of the report are rendered; every value is escaped.

    Raises:
        ExtraError: if a package is missing.
    """
    jinja2 = extra_module("jinja2", "report", "a report")
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def markup(text: str) -> Any:
    """A text of ours that is markup already.

    Raises:
        ExtraError: if a package is missing.
    """
    return extra_module("markupsafe", "report", "a report").Markup(text)


def colours() -> str:
    """The colours by name, as properties for one element to hold."""
    return (TEMPLATES / "colours.css").read_text(encoding="utf-8")


def tables() -> str:
    """How tables and what is in them look, by the names of `colours`."""
    return (TEMPLATES / "tables.css").read_text(encoding="utf-8")


def page_style() -> str:
    """The style of a whole page."""
    rest = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return f":root {{\n{colours()}}}\n{tables()}\n{rest}"
