"""The commands of the documents do what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import ROOT, check_commands, read


@pytest.mark.gpu
@pytest.mark.usefixtures("simulated_gpu")
def test_verify(tmp_path: Path) -> None:
    check_commands(read("docs/verify.md"), tmp_path)


def test_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    document = read("docs/evaluate.md")
    check_commands(document, tmp_path)
    monkeypatch.chdir(tmp_path)
    (example,) = document.blocks("python")
    exec(compile(example, "docs/evaluate.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0


def test_tables_of_devices_are_of_one_mind() -> None:
    text = read("docs/devices.md").text
    assert text.count(", all as predicted.") == 2
    assert "**differs**" not in text


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    targets = [part.partition(")")[0] for part in path.read_text(encoding="utf-8").split("](")[1:]]
    local = [target for target in targets if "://" not in target]
    assert all((path.parent / target.partition("#")[0]).exists() for target in local)
