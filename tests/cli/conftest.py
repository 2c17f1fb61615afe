"""Fixtures of the command line's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.command import LLAMA, CommandLine, pair_folder


@pytest.fixture
def ovpass(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return CommandLine(capsys)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A model folder of its own."""
    return Path(shutil.copytree(LLAMA, tmp_path / "llama"))


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with two submodels."""
    return pair_folder(tmp_path / "pair")
