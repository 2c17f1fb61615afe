"""The notebook for users of optimum-intel, with the cells that need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.notebooks import NOTEBOOKS, executed, runs_all
from tests.docs.test_notebooks import answers, cells
from tests.documents import at_work


@pytest.mark.vnni
def test_all_cells_show_what_they_have_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (notebook,) = (path for path in NOTEBOOKS if "optimum" in path.name)
    assert runs_all()
    with at_work(tmp_path):
        ran = executed(notebook, tmp_path)
    assert [answers(cell) for cell in ran.cells] == [answers(cell) for cell in cells(notebook)]
    assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")
