"""Run the notebooks of the documentation and keep what they show: python scripts/notebooks.py [NOTEBOOK...].

Needs nbclient and ipykernel, which the extra `dev` installs. Cells with the tag `export` need the extra of that name,
too; without it they do not run, and keep what they showed when they last did.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
_RICH, _PLAIN = "text/html", "text/plain"
_EXPORT = "export"
"""The tag of cells that need optimum-intel."""


def executed(path: Path, folder: Path) -> Any:
    """The notebook as it is after a run in `folder`, but for cells that need optimum-intel where that is missing.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    nbclient, nbformat = (importlib.import_module(name) for name in ("nbclient", "nbformat"))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        skip_cells_with_tag="" if runs_all() else _EXPORT,
    )
    client.execute()
    for cell in notebook.cells:
        _keep_what_is_shown(cell)
    return notebook


def runs_all() -> bool:
    """Whether the cells that need optimum-intel run, too."""
    return importlib.util.find_spec("optimum") is not None


def _keep_what_is_shown(cell: Any) -> None:
    """Without times, without text in place of which HTML is shown, and without progress that is gone."""
    cell.metadata.pop("execution", None)
    if cell.cell_type != "code":
        return
    for output in cell.outputs:
        if _RICH in output.get("data", {}):
            output["data"].pop(_PLAIN, None)
    cell.outputs = [output for output in cell.outputs if "data" not in output or any(output["data"].values())]


def main() -> None:
    """Run notebooks, and write them back."""
    nbformat = importlib.import_module("nbformat")
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        nbformat.write(executed(path, ROOT), path)
        print(path)


if __name__ == "__main__":
    main()
