"""Fixtures of the seams' tests."""

from __future__ import annotations

import pytest

from tests.cli.command import CommandLine


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return CommandLine(capsys)
