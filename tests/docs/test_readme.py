"""The README's commands print what it shows. Python and settings are in docs/reference, with tests."""

from __future__ import annotations

from pathlib import Path

from tests.documents import check_commands, read

README = read("README.md")


def test_console_blocks_show_the_real_output(tmp_path: Path) -> None:
    check_commands(README, tmp_path)
