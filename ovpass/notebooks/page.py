"""A whole report in a notebook."""

from __future__ import annotations

from html import escape

from ovpass.api.page import Page

_HEIGHT = "42rem"


def html(page: Page) -> str:
    """The page in a frame of its own: its scripts run, and reach nothing of the notebook."""
    return (
        f'<iframe title="ovpass report" sandbox="allow-scripts" srcdoc="{escape(page.html)}" '
        f'style="width: 100%; height: {_HEIGHT}; border: 0; color-scheme: normal"></iframe>'
    )
