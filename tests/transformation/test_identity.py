"""Which model a run is of, and how it was called, told in the JSON of every command."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from ovpass.transformation.identity import identify
from ovpass.version import JSON_FORMAT, __version__
from tests.cli.command import ENCODER, LLAMA, CommandLine


def test_a_model_is_itself_wherever_it_lies(tmp_path: Path) -> None:
    copied = shutil.copytree(LLAMA, tmp_path / "copied")
    assert identify(copied) == identify(LLAMA) == identify(LLAMA / "openvino_model.xml")
    assert not identify(ENCODER).same_model(identify(LLAMA))


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    copied = shutil.copytree(LLAMA, tmp_path / "copied")
    weights = copied / "openvino_model.bin"
    weights.write_bytes(bytes(byte ^ 1 for byte in weights.read_bytes()))
    found = identify(copied)
    assert found.sites == identify(LLAMA).sites
    assert not found.same_model(identify(LLAMA))


@pytest.mark.parametrize(
    "flags",
    [
        ("--group-size", "64"),
        ("--exempt", "kind:mlp.down"),
        ("--lowering", "emulate", "--group-size", "32"),
        ("--lowering", "int8", "--requantize"),
    ],
    ids=lambda flags: flags[1],
)
def test_an_applied_model_is_that_which_it_was_made_from(
    flags: tuple[str, ...], tmp_path: Path, ovpass: CommandLine
) -> None:
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--quiet", *flags)
    applied, source = identify(tmp_path / "out"), identify(LLAMA)
    assert (applied.changed, source.changed) == (True, False)
    assert applied.same_model(source)
    assert not applied.same_model(identify(ENCODER))


def test_json_tells_how_it_was_made(tmp_path: Path, ovpass: CommandLine) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("group_size: 64\n")
    run = ovpass.succeed("plan", LLAMA, "--config", settings, "--json").json["run"]
    assert (run["format"], run["command"], run["ovpass"]) == (JSON_FORMAT, "plan", __version__)
    assert run["arguments"] == [str(LLAMA), "--config", str(settings), "--json"]
    assert run["files"] == {str(settings): "group_size: 64\n"}
    assert [model["path"] for model in run["models"]] == [str(LLAMA)]
    assert run["models"][0]["sites"] == identify(LLAMA).sites


def test_an_evaluation_names_the_models_and_plans_of_its_candidates(tmp_path: Path, ovpass: CommandLine) -> None:
    ovpass.succeed("plan", LLAMA, "-o", tmp_path / "plan.yaml", "--quiet")
    small = ("--windows", "1", "--window-tokens", "66", "--json")
    run = ovpass.succeed("evaluate", LLAMA, f"{LLAMA}@plan={tmp_path / 'plan.yaml'}", *small).json["run"]
    assert [model["path"] for model in run["models"]] == [str(LLAMA)]
    assert list(run["files"]) == [str(tmp_path / "plan.yaml")]


def test_other_files_are_told_by_their_hashes(tmp_path: Path, ovpass: CommandLine) -> None:
    text = tmp_path / "text.txt"
    text.write_text("It is a truth universally acknowledged. " * 40)
    small = ("--text", text, "--tokenizer", LLAMA, "--windows", "1", "--window-tokens", "66", "--json")
    run = ovpass.succeed("evaluate", LLAMA, f"{LLAMA}@64", *small).json["run"]
    told = {entry["path"]: entry for entry in run["inputs"]}
    assert told[str(text)]["sha256"] == hashlib.sha256(text.read_bytes()).hexdigest()
    assert told[str(text)]["bytes"] == text.stat().st_size
    assert {Path(path).name for path in told} >= {"text.txt", "openvino_tokenizer.xml"}
    assert str(LLAMA / "openvino_model.bin") not in told
