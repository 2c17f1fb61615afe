"""Log messages go where they are asked to, and nowhere else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.cli.command import ENCODER, LLAMA, CommandLine


def test_twice_verbose_logs_to_standard_error(ovpass: CommandLine) -> None:
    ran = ovpass("plan", LLAMA, "-vv", "--json")
    assert ran.json["decisions"]
    assert "openvino_model.xml: 15 sites" in ran.err
    once = ovpass.succeed("plan", LLAMA, "-v")
    assert once.out == ovpass("plan", LLAMA, "-vv").out


def test_to_a_file(ovpass: CommandLine, tmp_path: Path) -> None:
    log, config = tmp_path / "log.txt", tmp_path / "settings.yaml"
    config.write_text("group_size: 64", encoding="utf-8")
    options = ("--config", config, "--exempt", "kind:lm_head", "--log-file", log)
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", *options)
    text = log.read_text(encoding="utf-8")
    assert f"INFO ovpass.settings.settings: {config}: read settings" in text
    assert "pass exempt" in text
    assert "exists" in ovpass.refuse("strip", tmp_path / "out", "-o", tmp_path / "back", "--log-file", log)
    assert log.read_text(encoding="utf-8") == text
    assert "folder" in ovpass.refuse("plan", LLAMA, "--log-file", tmp_path / "none/log.txt")
    assert not logging.getLogger("ovpass").handlers


def test_a_command_that_is_not_understood_makes_no_file(ovpass: CommandLine, tmp_path: Path) -> None:
    assert ovpass("plan", "--log-file", tmp_path / "log.txt").code == 2
    assert not (tmp_path / "log.txt").exists()


def test_names_cannot_forge_a_line(ovpass: CommandLine, tmp_path: Path) -> None:
    model = tmp_path / "a\nb.xml"
    for suffix in (".xml", ".bin"):
        model.with_suffix(suffix).symlink_to(ENCODER / f"openvino_model{suffix}")
    err = ovpass("inspect", model, "-vv").err
    assert "a\\nb.xml" in err
    assert not any(line.startswith("b.xml") for line in err.splitlines())


@pytest.mark.slow
def test_children_are_logged_with_their_environment(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "not to be told")
    log = tmp_path / "log.txt"
    quick = ("--prompt-tokens", 4, "--output-tokens", 2, "--repeats", 1)
    ovpass.succeed("bench", LLAMA, *quick, "--quiet", "--log-file", log)
    text = log.read_text(encoding="utf-8")
    assert "DEBUG ovpass.support.processes: starts " in text
    assert "ovpass.benchmark.child" in text
    assert "not to be told" not in text


@pytest.mark.slow
def test_measurements_of_an_earlier_run(ovpass: CommandLine, tmp_path: Path) -> None:
    run = ("sensitivity", LLAMA, "--by", "kind", "--fast", "--windows", 1, "--window-tokens", 16, "--state", tmp_path)
    ovpass.succeed(*run)
    err = ovpass(*run, "-vv").err
    assert "measured before: " in err
    assert "measured: " not in err
