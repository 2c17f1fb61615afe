"""The notebooks of the documentation run, and show what they have shown; a bar tells of progress in them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from scripts.notebooks import NOTEBOOKS, executed
from tests.documents import ROOT, at_work, without_numbers
from tests.missing import lacking

SIMULATES, ASKS_THE_CPU = "simulate=", 'device="CPU"'
BAR = """
from ovpass.cli.notebook_progress import NotebookBar, in_notebook

bar = NotebookBar()
bar.show("reading")
bar.show("window 3 of 8 of <b>")
in_notebook()
"""
GONE = """
from ovpass.cli.output import progress

with progress(quiet=False) as step:
    step("reading")
with progress(quiet=True) as step:
    step("reading")
"""


def marks(notebook: Path) -> list[pytest.MarkDecorator]:
    text = "".join(sources(notebook))
    found = [pytest.mark.slow]
    found += [pytest.mark.gpu] if SIMULATES in text else []
    return [*found, pytest.mark.vnni] if ASKS_THE_CPU in text else found


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def sources(notebook: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]


def require_jupyter() -> None:
    for package in ("nbclient", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            lacking(f"{package}: pip install '.[dev]'")


@pytest.mark.parametrize("notebook", [pytest.param(path, id=path.stem, marks=marks(path)) for path in NOTEBOOKS])
def test_a_notebook_shows_what_it_has_shown(notebook: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    require_jupyter()
    if SIMULATES in "".join(sources(notebook)):
        request.getfixturevalue("simulated_gpu")
    failed = importlib.import_module("nbclient.exceptions").CellExecutionError
    with at_work(tmp_path):
        try:
            ran = executed(notebook, tmp_path)
        except failed as error:
            raise AssertionError(f"{notebook.name}: {error}") from error
    assert [answers(cell) for cell in ran.cells] == [answers(cell) for cell in cells(notebook)]


def answers(cell: dict[str, Any]) -> list[str]:
    """What a cell says first in each output, without numbers and without all that differs between machines."""
    return [without_numbers(_first(output)) for output in cell.get("outputs", ())]


def _first(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    html = "".join(data.get("text/html", ""))
    if "<iframe" in html:
        return unescape(re.findall(r"&lt;title&gt;(.*?)&lt;/title&gt;", html)[0])
    if html:
        return " ".join(unescape(re.sub("<[^>]+>", " ", re.findall(r'<p class="answer">.*?</p>', html)[0])).split())
    return "".join(data.get("text/plain", output.get("text", "")))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_place_of_its_machine(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert not re.search(r"/(tmp|home|root)/", text)


def test_there_are_three_notebooks() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.slow
def test_a_bar_is_shown_and_goes(tmp_path: Path) -> None:
    require_jupyter()
    code: list[dict[str, object]] = [
        {"cell_type": "code", "id": str(i), "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for i, source in enumerate((BAR, GONE))
    ]
    notebook = {"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "bar.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    shown, gone = (cell.outputs for cell in executed(tmp_path / "bar.ipynb", tmp_path).cells)
    assert shown[-1]["data"]["text/plain"] == "True"
    (bar,) = (output["data"]["text/html"] for output in shown[:-1])
    assert re.match(r'<progress value="2" max="8".*window 3 of 8 of &lt;b&gt;', bar)
    assert gone == []
