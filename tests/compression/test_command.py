"""ovpass compress."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ovpass.targets import TARGETS
from tests.cli.command import CommandLine, contents

INT4 = ("--mode", "int4_sym", "--group-size", "32")


def test_json_is_alone_on_stdout(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    found = ovpass.succeed("compress", llama, "-o", tmp_path / "out", *INT4, "--ignore", "kind:attn.v", "--json").json
    assert (found["output"], found["mode"]) == (str(tmp_path / "out"), "int4_sym")
    (model,) = found["models"]
    assert model["bytes_after"] < model["bytes_before"]
    assert sum(fmt["sites"] for fmt in model["formats"]) == 7
    assert len(model["ignored"]) == 1
    assert {entry["target"]: entry["quantized"] for entry in found["targets"]} == dict.fromkeys(TARGETS, 7)
    assert "decisions" not in found


def test_then_apply_adds_the_plan(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    options = (*INT4, "--then-apply", "--target", "cpu", "--activation-group-size", "16", "--exempt", "kind:mlp.down")
    found = ovpass.succeed("compress", llama, "-o", tmp_path / "out", *options, "--json").json
    assert found["counts"] == {"quantize": 7, "exempt": 1, "skip": 0}
    assert {entry["group_size"] for entry in found["decisions"] if entry["action"] == "quantize"} == {16}


@pytest.mark.slow
def test_json_of_a_budget_of_kl(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    options = ("--mode", "vq2", "--max-kl", "5", "--samples", "4", "--sequence-length", "32")
    found = ovpass.succeed("compress", llama, "-o", tmp_path / "out", *options, "--json").json
    assert found["max_kl"] == 5
    layout = found["models"][0]["layout"]
    assert layout["layers"] == {"vq2": 7}
    assert layout["held_out"]["kl_interval"][1] < 5


def test_tables_fit_the_terminal(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    shown = ovpass.succeed("compress", llama, "-o", tmp_path / "out", "--mode", "nf4", "--group-size", "32").out
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(("Note", "Written")))
    assert "nf4 symmetric g32" in shown
    assert "no target quantizes activations for nf4" in shown


def test_quiet(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    assert ovpass.succeed("compress", llama, "-o", tmp_path / "out", "--quiet").out == ""


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--mode", "int4"), "int4_sym"),
        (("--group-size", "many"), "per-channel"),
        (("--mode", "int4_sym"), "group-size 64"),
        (("--activation-group-size", "32"), "--then-apply"),
        ((*INT4, "--ignore", "kind:mlp.dwn"), "kind:mlp.down"),
        ((*INT4, "--gptq", "--samples", "1", "--sequence-length", "8"), "use 32 tokens"),
        ((*INT4, "--gptq", "--samples", "9999"), "fewer or shorter"),
        (("--mode", "nf4", "--group-size", "32", "--then-apply"), "nf4 weights are decompressed"),
        (("--smooth", "2"), "smooth 2.0"),
        (("--smooth", "0.5", "--samples", "1", "--sequence-length", "8"), "use 64 tokens"),
        ((*INT4, "--then-apply", "--lowering", "int8"), "int8_sym"),
    ],
)
def test_refused(ovpass: CommandLine, llama: Path, tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    assert named in ovpass.refuse("compress", llama, "-o", tmp_path / "out", *options)
    assert not any(tmp_path.iterdir())


def test_the_input_is_no_place_for_the_output(ovpass: CommandLine, llama: Path) -> None:
    before = contents(llama)
    ovpass.refuse("compress", llama, "-o", llama, "--overwrite")
    assert contents(llama) == before


def test_the_extra_is_named(ovpass: CommandLine, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert "ovpass[compress]" in ovpass.refuse("compress", llama, "-o", tmp_path / "out")


def test_a_package_that_is_broken_is_not_called_missing(
    ovpass: CommandLine, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nncf.py").write_text("raise ImportError('libtbb.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "nncf"]:
        monkeypatch.delitem(sys.modules, name)
    refused = ovpass.refuse("compress", llama, "-o", tmp_path / "out")
    assert "nncf, which is there but cannot be imported: libtbb.so.12" in refused
