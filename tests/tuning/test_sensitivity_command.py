"""The command: tables, JSON, files, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import ENCODER, LLAMA, CommandLine

SMALL = ("--windows", 1, "--window-tokens", 64)
SITES = 15


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements that the tests share."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def run(ovpass: CommandLine, state: Path) -> tuple[Any, ...]:
    """The command line for a small measurement."""
    return ("sensitivity", LLAMA, *SMALL, "--state", state)


@pytest.mark.slow
def test_the_table_fits_a_terminal(ovpass: CommandLine, run: tuple[Any, ...]) -> None:
    for options in ((), ("--by", "kind"), ("--by", "block"), ("--fast", "--refine", 2), ("--verbose",)):
        out = ovpass.succeed(*run, *options).out
        tables = out[: out.index("All together")]
        assert all(len(line) <= 80 for line in tables.splitlines())


@pytest.mark.slow
def test_what_the_table_shows(ovpass: CommandLine, run: tuple[Any, ...]) -> None:
    exact, fast = ovpass.succeed(*run).out, ovpass.succeed(*run, "--fast").out
    for kind in ("attn.q", "mlp.down", "lm_head"):
        assert kind in exact
    assert "?" not in exact
    assert "?" in fast
    assert "Block" in exact
    assert "63 tokens" in exact
    assert "not measured" in ovpass.succeed(*run, "--exempt", "kind:lm_head", "--fast").out


@pytest.mark.slow
def test_json_alone_on_standard_output(ovpass: CommandLine, run: tuple[Any, ...], tmp_path: Path) -> None:
    data = ovpass.succeed(*run, "--json", "-o", tmp_path / "ranking.json").json
    assert json.loads((tmp_path / "ranking.json").read_text()) == data
    assert (data["model"], data["by"], data["tokens"], data["skipped"]) == (str(LLAMA), "site", 63, {})
    assert len(data["ranking"]) == SITES
    first = data["ranking"][0]
    assert set(data["together"]) == set(first["costs"]) == {"mean", "trimmed", "median", "top1_lost"}
    assert set(first["saves"]) == set(first["costs"])
    assert first["sites"] == [first["name"]]
    assert first["screened"] is False
    assert str(first["group_size"]) in first["activation"]["errors"]


@pytest.mark.slow
def test_quiet(ovpass: CommandLine, run: tuple[Any, ...], tmp_path: Path) -> None:
    assert ovpass.succeed(*run, "--quiet", "-o", tmp_path / "a.json", "--plot", tmp_path / "a.png").out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "a.png"}


@pytest.mark.slow
def test_other_settings_give_other_groups(ovpass: CommandLine, run: tuple[Any, ...]) -> None:
    data = ovpass.succeed(*run, "--profile", "cpu", "--group-size", 32, "--fast", "--json").json
    assert {entry["group_size"] for entry in data["ranking"]} == {32}


def test_without_matplotlib_nothing_is_measured(
    ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = ovpass.refuse("sensitivity", LLAMA, "--state", tmp_path / "state", "--plot", tmp_path / "map.png")
    assert "ovpass[plot]" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--by", "colour"), "colour"),
        (("--refine", 3), "fast"),
        (("--fast", "--refine", -1), "refine"),
        (("--lowering", "int8"), "int8"),
        (("--profile", "npu"), "npu"),
        (("--exempt", "re:.*"), "quantized"),
        (("--exempt", "no such site"), "no such site"),
        (("--windows", 100000), "100000"),
        (("--text", "no such file"), "no such file"),
        (("--plot", "map.doc"), "map.doc"),
    ],
)
def test_refusals(ovpass: CommandLine, tmp_path: Path, options: tuple[Any, ...], named: str) -> None:
    assert named in ovpass.refuse("sensitivity", LLAMA, "--state", tmp_path / "state", *options)
    assert not list(tmp_path.iterdir())


def test_a_text_that_is_too_short(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("A few words.")
    error = ovpass.refuse("sensitivity", LLAMA, "--state", tmp_path / "state", "--text", tmp_path / "short.txt")
    assert "tokens" in error
    assert not (tmp_path / "state").exists()


def test_models_that_cannot_be_judged(ovpass: CommandLine, tmp_path: Path) -> None:
    state = ("--state", tmp_path / "state")
    assert str(ENCODER) in ovpass.refuse("sensitivity", ENCODER, *state)
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--quiet")
    assert str(tmp_path / "out") in ovpass.refuse("sensitivity", tmp_path / "out", *state)
    assert "missing" in ovpass.refuse("sensitivity", tmp_path / "missing", *state)
    assert not (tmp_path / "state").exists()
