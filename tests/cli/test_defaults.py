"""Files give commands default options: the nearest one, never what runs code, and typed options win."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import LLAMA, CommandLine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with another in it, where commands run."""
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    return tmp_path


def settings(ovpass: CommandLine, *args: object) -> tuple[str, object]:
    """The target and group size that a plan has."""
    plan = ovpass.succeed("plan", LLAMA, *args, "--json").json
    return plan["settings"].get("target", "gpu-xmx"), plan["settings"].get("group_size")


def test_of_all_commands_and_of_one(ovpass: CommandLine, project: Path) -> None:
    (project / "ovpass.toml").write_text('target = "arc-b580"\nmax-kl = 0.1\n[plan]\ngroup-size = 64\n')
    assert settings(ovpass) == ("arc-b580", 64)
    assert settings(ovpass, "--group-size", 32) == ("arc-b580", 32)
    assert ovpass.succeed("inspect", LLAMA, "--json").json["target"] == "arc-b580"


def test_in_a_project(ovpass: CommandLine, project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.ovpass]\ntarget = "cpu"\n')
    assert settings(ovpass)[0] == "cpu"
    for text in ("[tool.other]\n", "tool = 1\n"):
        (project / "inner/pyproject.toml").write_text(text)
        assert settings(ovpass)[0] == "cpu"
    assert settings(ovpass)[0] == "cpu"
    (project / "inner/ovpass.toml").write_text("")
    assert settings(ovpass)[0] == "gpu-xmx"


def test_results_record_them(ovpass: CommandLine, project: Path) -> None:
    (project / "ovpass.toml").write_text('[inspect]\ntarget = "lnl"\n')
    run = ovpass.succeed("inspect", LLAMA, "--json").json["run"]
    assert run["arguments"] == ["--target=lnl", str(LLAMA), "--json"]


def test_lists_and_flags(ovpass: CommandLine, project: Path) -> None:
    (project / "ovpass.toml").write_text('[plan]\nexempt = ["layer:0", "kind:lm_head"]\nasymmetric = false\n')
    plan = ovpass.succeed("plan", LLAMA, "--json").json
    assert plan["counts"]["exempt"] == 8


def test_a_plan_brings_its_own_settings(ovpass: CommandLine, project: Path) -> None:
    ovpass.succeed("plan", LLAMA, "-o", "plan.yaml", "--group-size", 32, "-q")
    (project / "ovpass.toml").write_text("group-size = 64\n")
    applied = ovpass.succeed("apply", LLAMA, "-o", "out", "--plan", "plan.yaml", "--json").json
    assert applied["settings"]["group_size"] == 32


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("targte = 1", "target"),
        ("[plam]\n", "plan"),
        ("[plan]\ngroup-sizes = 64", "group-size"),
        ("[plan]\nmax-kl = 1", "max-kl"),
        ("[plan]\nasymmetric = 1", "asymmetric"),
        ("[plan]\ngroup-size = {a = 1}", "group-size"),
        ("[plan]\ngroup-size = 'many'", "many"),
        ("[plan", "TOML"),
        (f"{'[' * 5000}", "TOML"),
    ],
)
def test_what_is_refused(ovpass: CommandLine, project: Path, text: str, named: str) -> None:
    (project / "ovpass.toml").write_text(text)
    assert named in ovpass.refuse("plan", LLAMA)
    assert ovpass("--no-defaults", "plan", LLAMA).code == 0


@pytest.mark.parametrize(
    "line", ['check = "touch pwned"', "overwrite = true", 'output = "out"', "trust-remote-code = true"]
)
def test_nothing_runs_and_nothing_is_written(ovpass: CommandLine, project: Path, line: str) -> None:
    """The folder may be another person's."""
    for text in (line, f"[bisect]\n{line}"):
        (project / "ovpass.toml").write_text(text)
        ovpass.refuse("bisect", LLAMA)
    assert not list((project / "inner").iterdir())
