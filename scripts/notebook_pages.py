"""A hook of mkdocs: notebooks of the documentation are pages, with what their cells showed when they last ran."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_SUFFIX = ".ipynb"
_PLACE = '<div data-output="{}"></div>'
"""Stands for an output while Markdown becomes HTML, which outputs are already."""
_PLACED = re.compile(re.escape(_PLACE).replace(r"\{\}", r"(\d+)"))


class NotebookFile(File):
    """A notebook, which is a page."""

    def is_documentation_page(self) -> bool:
        """As for Markdown."""
        return True


def on_files(files: Files, **_: Any) -> Files:
    """Take notebooks for pages."""
    for file in [file for file in files if file.src_uri.endswith(_SUFFIX)]:
        files.remove(file)
        files.append(NotebookFile(file.src_uri, file.src_dir, file.dest_dir, file.use_directory_urls))
    return files


def on_page_read_source(page: Page, **_: Any) -> str | None:
    """The Markdown of a notebook: its texts, its code, and places for outputs."""
    if not page.file.src_uri.endswith(_SUFFIX):
        return None
    parts, number = [], 0
    for cell in _cells(page):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for _output in cell["outputs"]:
            parts.append(_PLACE.format(number))
            number += 1
    return "\n\n".join(parts) + "\n"


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Put the outputs in their places."""
    if not page.file.src_uri.endswith(_SUFFIX):
        return html
    outputs = [_shown(output) for cell in _cells(page) for output in cell.get("outputs", ())]
    return _PLACED.sub(lambda match: outputs[int(match[1])], html)


def _cells(page: Page) -> list[dict[str, Any]]:
    path = page.file.abs_src_path
    assert path is not None
    cells: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return cells


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return "".join(data["text/html"])
    text = "".join(data.get("text/plain", output.get("text", ())))
    return f"<pre><code>{escape(text)}</code></pre>"
