"""The README's commands and examples do what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass import load_settings
from tests.documents import ROOT, check_commands, read

README = read("README.md")


def test_console_blocks_show_the_real_output(tmp_path: Path) -> None:
    check_commands(README, tmp_path)


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    assert README.blocks("python")
    for block in README.blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "out" / "openvino_model.xml").exists()


def test_settings_blocks_are_valid(tmp_path: Path) -> None:
    assert README.blocks("yaml")
    for number, block in enumerate(README.blocks("yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        assert load_settings(path).rules
