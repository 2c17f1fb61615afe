"""Exporters do without a torchvision that is broken, and with one that works."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from ovpass.conversion.broken_torchvision import hide_broken_torchvision

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"


@pytest.mark.parametrize(("code", "found"), [(BROKEN, False), ("", True)], ids=["broken", "working"])
def test_what_does_not_work_is_not_found(
    code: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torchvision", sys)  # so that what the call leaves there goes
    del sys.modules["torchvision"]
    hide_broken_torchvision()
    assert (importlib.util.find_spec("torchvision") is not None) == found
