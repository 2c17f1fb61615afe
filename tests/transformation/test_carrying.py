"""What a model folder holds besides its models arrives whole, and links bring nothing else along."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ovpass.conversion.tokenizers import carry_tokenizer
from ovpass.errors import ModelError
from tests.cli.command import LLAMA, CommandLine, contents

APPLY = ("--group-size", 64)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret(folder: Path) -> None:
    (folder / "secret.bin").symlink_to("/etc/passwd")


def outside(folder: Path) -> None:
    (folder.parent / "other.json").write_text("{}")
    (folder / "config_2.json").symlink_to("../other.json")


def linked_folder(folder: Path) -> None:
    (folder.parent / "more").mkdir()
    (folder / "more").symlink_to("../more")


def dangling(folder: Path) -> None:
    (folder / "gone.json").symlink_to("nowhere.json")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")


@pytest.mark.parametrize("damage", [secret, outside, linked_folder, dangling, pipe])
def test_what_cannot_be_carried_is_named(
    ovpass: CommandLine, llama: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(llama)
    error = ovpass.refuse("apply", llama, "-o", tmp_path / "out", *APPLY)
    assert str(llama) in error
    assert not (tmp_path / "out").exists()


def test_links_within_the_folder_become_files(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (llama / "sub").mkdir()
    (llama / "sub/config.json").symlink_to("../config.json")
    ovpass.succeed("apply", llama, "-o", tmp_path / "out", *APPLY)
    copy = tmp_path / "out/sub/config.json"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (llama / "config.json").read_bytes()


def test_a_snapshot_of_the_hub_is_a_model(ovpass: CommandLine, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b/blobs", tmp_path / "models--a--b/snapshots/1"
    shutil.copytree(LLAMA, blobs)
    snapshot.mkdir(parents=True)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    ovpass.succeed("apply", snapshot, "-o", tmp_path / "out", *APPLY)
    assert contents(tmp_path / "out").keys() == contents(LLAMA).keys()


def test_weights_may_lie_elsewhere(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    weights = (llama / "openvino_model.bin").rename(tmp_path / "weights.bin")
    (llama / "openvino_model.bin").symlink_to(weights)
    ovpass.succeed("apply", llama, "-o", tmp_path / "out", *APPLY)
    assert (tmp_path / "out/openvino_model.bin").samefile(weights)


def test_empty_folders_stay(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (llama / "empty").mkdir()
    ovpass.succeed("apply", llama, "-o", tmp_path / "out", *APPLY)
    assert (tmp_path / "out/empty").is_dir()


@pytest.mark.parametrize("options", [("--copy-weights",), ("--exempt", "kind:lm_head"), ("--lowering", "emulate")])
def test_modes_stay(ovpass: CommandLine, llama: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    for path in llama.iterdir():
        path.chmod(0o600)
    ovpass.succeed("apply", llama, "-o", tmp_path / "out", *options)
    assert {mode(tmp_path / "out" / path.name) for path in llama.iterdir()} == {0o600}


@pytest.mark.parametrize("options", [("--copy-weights",), ("--lowering", "emulate")])
def test_modes_of_folders_stay(ovpass: CommandLine, llama: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """What was private stays so; an output can be replaced, whatever its source."""
    modes = {".": 0o710, "deep": 0o500, "deep/private": 0o700}
    (llama / "deep/private").mkdir(parents=True)
    (llama / "deep/private/notes.txt").write_text("text")
    for name, wanted in modes.items():
        (llama / name).chmod(wanted)
    for _ in range(2):
        ovpass.succeed("apply", llama, "-o", tmp_path / "out", "--overwrite", *options)
    assert {name: mode(tmp_path / "out" / name) for name in modes} == {**modes, "deep": 0o700}


def test_a_converted_model_takes_no_tokenizer_from_elsewhere(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "out").mkdir()
    (llama / "tokenizer.json").unlink(missing_ok=True)
    (llama / "tokenizer.json").symlink_to("../secret")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        carry_tokenizer(llama, tmp_path / "out", lambda _: None)
