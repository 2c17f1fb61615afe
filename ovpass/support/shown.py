"""Results that notebooks show as HTML."""

from __future__ import annotations

from ovpass.support.lazy import lazy_module

_NOTEBOOKS = lazy_module("ovpass.notebooks")
"""By name: a result does not know how it is drawn, and nothing of that is imported before a notebook asks."""


class Shown:
    """A result that notebooks show as HTML, where the extra `report` is installed, and as text elsewhere."""

    def _repr_html_(self) -> str | None:
        html: str | None = _NOTEBOOKS.html_of(self)
        return html
