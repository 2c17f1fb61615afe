"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import pair_folder


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with two submodels."""
    return pair_folder(tmp_path / "pair")
