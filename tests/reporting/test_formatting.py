"""Names on the page."""

from __future__ import annotations

import pytest

from ovpass.reporting.formatting import command_line, from_home, model_name


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("models/made", "models/made"),
        ("/home/me/made@64", "made@64"),
        ("/home/me@work/made", "made"),
        ("/home/me@work/made@64,profile=cpu", "made@64,profile=cpu"),
        ("/home/me/made@2", "made@2"),
        ("/home/me@work/made@plan=/home/me@work/plan.yaml", "made@plan=plan.yaml"),
        ("made@exempt=re:.*/mlp@x", "made@exempt=re:.*/mlp@x"),
    ],
)
def test_a_folder_can_have_an_at_in_its_name(typed: str, shown: str) -> None:
    assert model_name(typed) == shown


def test_paths_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    typed = ["ovpass", "/home/me/a model@64", "/home/mere/b", "c d"]
    assert command_line(typed) == "ovpass ~/'a model@64' /home/mere/b 'c d'"
    assert from_home("/home/me/plan.yaml") == "~/plan.yaml"
