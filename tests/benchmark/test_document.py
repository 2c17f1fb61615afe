"""The document's commands do what they show."""

from __future__ import annotations

from pathlib import Path

from tests.documents import check_commands, read


def test_bench(tmp_path: Path) -> None:
    check_commands(read("docs/bench.md"), tmp_path)
    assert (tmp_path / "times.svg").exists()
