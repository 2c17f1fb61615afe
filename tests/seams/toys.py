"""The modules that pages of docs/contributing show, imported as they stand there."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.documents import ROOT

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def toy_module(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The first Python block of a page as a module, which can be imported by its name while the test runs."""
    found = _BLOCK.search((ROOT / f"docs/contributing/{page}.md").read_text(encoding="utf-8"))
    assert found is not None
    name = f"toy_{page.replace('-', '_')}"
    (folder / f"{name}.py").write_text(found[1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)
