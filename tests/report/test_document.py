"""The commands of docs/report.md work."""

from __future__ import annotations

from pathlib import Path

from tests.documents import check_commands, read


def test_document(tmp_path: Path) -> None:
    check_commands(read("docs/report.md"), tmp_path)
    assert "attn.v" in (tmp_path / "report.html").read_text(encoding="utf-8")
