"""Outputs appear whole or not at all, and harm neither the input nor what is not theirs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.cli.command import CommandLine, contents

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["ovpass", *sys.argv[2:]]
from ovpass.cli.main import main
main()
"""
# what is written: text alone, an extended .bin, a .bin written anew
WAYS = {
    "native": ["--copy-weights"],
    "exempt": ["--exempt", "kind:mlp.down", "--exempt-with", "f16-zero-point"],
    "emulate": ["--lowering", "emulate"],
    "int8": ["--lowering", "int8", "--requantize"],
}


def limited(limit: int, *args: object) -> subprocess.CompletedProcess[str]:
    """Run the command line where no file can get larger than `limit` bytes."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, args)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("limit", [1_000, 200_000])
def test_a_full_disk_leaves_nothing(llama: Path, tmp_path: Path, way: list[str], limit: int) -> None:
    before = contents(tmp_path)
    ran = limited(limit, "apply", llama, "-o", tmp_path / "new/out", *way)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("Error: ")
    assert ran.stderr.count("\n") == 1
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_the_earlier_output(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    ovpass.succeed("apply", llama, "-o", tmp_path / "out")
    ovpass.succeed("apply", llama / "openvino_model.xml", "-o", tmp_path / "one.xml")
    before = contents(tmp_path)
    for source, target in ((llama, "out"), (llama / "openvino_model.xml", "one.xml")):
        ran = limited(100_000, "apply", source, "-o", tmp_path / target, "--overwrite", "--group-size", 32)
        assert ran.returncode == 2, ran.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("name", "moves"), [("out", 0), ("out", 1), *(("one.xml", moves) for moves in range(5))])
def test_a_failing_move_leaves_the_earlier_output(
    ovpass: CommandLine, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, moves: int
) -> None:
    """Whichever it is of those that replace the output."""
    source = llama if name == "out" else llama / "openvino_model.xml"
    ovpass.succeed("apply", source, "-o", tmp_path / name, "--threshold", 128)
    before, countdown = contents(tmp_path), count(-moves)

    def failing(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def fail_once(self: Path, target: Path) -> Path:
            if next(countdown) == 0:
                raise OSError(5, "Input/output error")
            return move(self, target)

        return fail_once

    monkeypatch.setattr(Path, "rename", failing(Path.rename))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    assert "Input/output error" in ovpass.refuse("apply", source, "-o", tmp_path / name, "--overwrite")
    assert contents(tmp_path) == before


def test_places_that_cannot_be_written(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    before = contents(tmp_path)
    for place in ("/proc/none/out", tmp_path / "file/out"):
        ovpass.refuse("apply", llama, "-o", place)
        ovpass.refuse("apply", llama / "openvino_model.xml", "-o", f"{place}.xml")
        ovpass.refuse("plan", llama, "-o", f"{place}.yaml")
    assert contents(tmp_path) == before


def test_the_input_is_never_the_output(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(llama)
    (tmp_path / "link.xml").symlink_to(llama / "openvino_model.xml")
    xml = llama / "openvino_model.xml"
    before = contents(tmp_path)
    for source, place in (
        (llama, llama),
        (llama, llama / "inside"),
        (llama, tmp_path),
        (llama, tmp_path / "link"),
        (llama, tmp_path / "link/inside"),
        (llama, llama / "../llama"),
        (tmp_path / "link", llama),
        (xml, xml),
        (xml, tmp_path / "link.xml"),
        (xml, tmp_path / "link/openvino_model.xml"),
        (tmp_path / "link.xml", xml),
    ):
        ovpass.refuse("apply", source, "-o", place, "--overwrite")
    assert contents(tmp_path) == before


def test_the_output_has_the_form_of_the_input(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    ovpass.refuse("apply", llama, "-o", tmp_path / "out.xml")
    ovpass.refuse("apply", llama / "openvino_model.xml", "-o", tmp_path / "out")
    assert contents(tmp_path) == before


def test_overwriting_must_be_allowed(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    for source, name in ((llama, "out"), (llama / "openvino_model.xml", "one.xml")):
        ovpass.succeed("apply", source, "-o", tmp_path / name)
        before = contents(tmp_path)
        assert "--overwrite" in ovpass.refuse("apply", source, "-o", tmp_path / name)
        assert contents(tmp_path) == before
        ovpass.succeed("apply", source, "-o", tmp_path / name, "--overwrite", "--group-size", 32)
        assert ovpass.succeed("inspect", tmp_path / name, "--json").json["group_size"] == 32
        assert contents(tmp_path).keys() == before.keys()


def test_weights_alone_are_not_overwritten_either(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_text("precious")
    ovpass.refuse("apply", llama / "openvino_model.xml", "-o", tmp_path / "one.xml")
    assert (tmp_path / "one.bin").read_text() == "precious"


def test_an_empty_folder_is_no_obstacle(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ovpass.succeed("apply", llama, "-o", tmp_path / "out")
    assert contents(tmp_path / "out").keys() == contents(llama).keys()


@pytest.mark.parametrize("foreign", ["notes.txt", "deep/er/notes.txt", ".hidden", "empty/"])
def test_overwriting_spares_what_is_not_of_the_model(
    ovpass: CommandLine, llama: Path, tmp_path: Path, foreign: str
) -> None:
    """A folder is replaced as a whole: one that holds anything else is left alone."""
    ovpass.succeed("apply", llama, "-o", tmp_path / "out")
    added = tmp_path / "out" / foreign
    if foreign.endswith("/"):
        added.mkdir()
    else:
        added.parent.mkdir(parents=True, exist_ok=True)
        added.write_text("precious")
    before = contents(tmp_path)
    ovpass.refuse("apply", llama, "-o", tmp_path / "out", "--overwrite")
    assert contents(tmp_path) == before


def test_a_folder_with_other_things_is_not_overwritten(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    place = tmp_path / "home"
    shutil.copytree(llama, place / "project/model")
    (place / "letter.txt").write_text("precious")
    ovpass.succeed("apply", llama, "-o", tmp_path / "done")
    before = contents(tmp_path)
    ovpass.refuse("apply", llama, "-o", place, "--overwrite")
    ovpass.refuse("strip", tmp_path / "done", "-o", place, "--overwrite")
    assert contents(tmp_path) == before


def test_a_file_never_replaces_a_folder(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    for name in ("plan.yaml", "one.xml", "two.bin"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "letter.txt").write_text("precious")
    xml = llama / "openvino_model.xml"
    before = contents(tmp_path)
    ovpass.refuse("plan", llama, "-o", tmp_path / "plan.yaml")
    ovpass.refuse("apply", xml, "-o", tmp_path / "one.xml", "--overwrite")
    ovpass.refuse("apply", xml, "-o", tmp_path / "two.xml", "--overwrite")
    assert contents(tmp_path) == before


def test_a_folder_never_replaces_a_file(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("precious")
    before = contents(tmp_path)
    ovpass.refuse("apply", llama, "-o", tmp_path / "letter", "--overwrite")
    assert contents(tmp_path) == before


def test_run_notes_belong_to_the_output(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    """They come and go with what the model has to be run with."""
    xml, notes = llama / "openvino_model.xml", tmp_path / "one.ovpass_run.env"
    ovpass.succeed("apply", xml, "-o", tmp_path / "one.xml", "--threshold", 128)
    assert "THRESHOLD=128" in notes.read_text()
    ovpass.succeed("apply", xml, "-o", tmp_path / "one.xml", "--overwrite")
    assert not notes.exists()
