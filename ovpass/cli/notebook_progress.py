"""Progress in a notebook: a bar for counted steps, otherwise words; it is gone when the work is done."""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from ovpass.support.printable import in_one_line
from ovpass.support.progress import count_in


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """Shows one step after the other, as it is told of them."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, step: str) -> None:
        """Go on to this step."""
        self._draw(_bar(step))

    def close(self) -> None:
        """Take the bar away."""
        if self._handle is not None:
            self._draw("")

    def _draw(self, html: str) -> None:
        from IPython.display import HTML, display  # noqa: PLC0415 - a notebook has it

        if self._handle is None:
            self._handle = display(HTML(html), display_id=True)
        else:
            self._handle.update(HTML(html))


def _bar(step: str) -> str:
    done, total = count_in(step)
    value = f' value="{done}" max="{total}"' if total else ""
    return f'<progress{value} style="vertical-align: middle"></progress> {escape(in_one_line(step))}'
