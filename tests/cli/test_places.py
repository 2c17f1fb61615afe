"""Outputs appear whole or not at all, and harm neither the input nor what is not theirs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.cli.command import LLAMA, CommandLine, contents, limited

UNPRIVILEGED = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root may all
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-m", "ovpass", *sys.argv[1:]])
"""
ENDED = """
import os, sys
from ovpass.transformation import transform
from ovpass.cli.main import main
place, ending = transform.place, int(sys.argv.pop(1))

def place_and_end(source, destination, *, copy):
    how = place(source, destination, copy=copy)
    os.kill(os.getpid(), ending)
    return how

transform.place = place_and_end
main()
"""
# what is written: text alone, an extended .bin, a .bin written anew
WAYS = {
    "native": ["--copy-weights"],
    "exempt": ["--exempt", "kind:mlp.down", "--exempt-with", "f16-zero-point"],
    "emulate": ["--lowering", "emulate"],
    "int8": ["--lowering", "int8", "--requantize"],
}


def unprivileged(*args: object) -> str:
    """Run as who may not do all, what must be refused in one line, which is returned."""
    command = [sys.executable, "-c", UNPRIVILEGED, *map(str, args)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert ran.stderr.startswith("Error: ")
    assert ran.stderr.count("\n") == 1
    return ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("limit", [1_000, 200_000])
def test_a_full_disk_leaves_nothing(llama: Path, tmp_path: Path, way: list[str], limit: int) -> None:
    before = contents(tmp_path)
    ran = limited(limit, "apply", llama, "-o", tmp_path / "new/out", *way)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("Error: ")
    assert ran.stderr.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_ended_from_outside_it_leaves_nothing(llama: Path, tmp_path: Path, ending: signal.Signals) -> None:
    before = contents(tmp_path)
    script = [sys.executable, "-c", ENDED, str(int(ending)), "apply", str(llama), "-o", str(tmp_path / "new/out")]
    ran = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (128 + ending, "")
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


@pytest.mark.parametrize("command", [("plan",), ("tune", "--max-kl", 1), ("bisect", "--max-kl", 1)])
def test_a_plan_is_replaced_only_if_that_is_allowed(
    ovpass: CommandLine, tmp_path: Path, command: tuple[object, ...]
) -> None:
    """Told before anything is measured."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("the work of a night")
    assert "--overwrite" in ovpass.refuse(*command, LLAMA, "-o", plan)
    assert plan.read_text() == "the work of a night"


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


# each command that writes a file beside the model, with what it takes long to find out
SEARCHES = {
    "plan": ["plan"],
    "tune": ["tune", "--max-kl", "1"],
    "bisect": ["bisect", "--max-kl", "1"],
    "sensitivity": ["sensitivity"],
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES.keys())
def test_a_file_never_replaces_what_is_read(
    ovpass: CommandLine, llama: Path, tmp_path: Path, search: list[str]
) -> None:
    (tmp_path / "settings.yaml").write_text("threshold: 0")
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "link").symlink_to(llama)
    shutil.copytree(llama, tmp_path / "other")
    before = contents(tmp_path)
    config = tmp_path / "settings.yaml"
    for model, place in (
        (llama, llama / "openvino_model.xml"),
        (llama, llama / "openvino_model.bin"),
        (llama, llama / "config.json"),
        (llama, llama / "openvino_tokenizer.xml"),
        (llama, tmp_path / "link/openvino_model.xml"),
        (tmp_path / "link", llama / "config.json"),
        (llama / "openvino_model.xml", llama / "openvino_model.xml"),
        (llama / "openvino_model.xml", llama / "openvino_model.bin"),
        (llama, tmp_path / "other/openvino_model.xml"),
        (llama, config),
    ):
        ovpass.refuse(*search, model, "--config", config, "-o", place)
    if search != ["plan"]:
        for flag, name, target in (("--text", "text.txt", "text.txt"), ("--tokenizer", "other", "other/config.json")):
            ovpass.refuse(*search, llama, flag, tmp_path / name, "-o", tmp_path / target)
    assert contents(tmp_path) == before


def test_a_plan_of_an_earlier_run_is_replaced(ovpass: CommandLine, llama: Path) -> None:
    """In the model's own folder, too."""
    for size in (32, 64):
        ovpass.succeed("plan", llama, "-o", llama / "plan.yaml", "--group-size", size, "--overwrite")
        assert f"model_group_size: {size}" in (llama / "plan.yaml").read_text()


def test_two_outputs_are_two_files(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    for search in ("tune", "sensitivity"):
        ovpass.refuse(search, llama, "-o", tmp_path / "map.png", "--plot", tmp_path / "map.png")


@pytest.mark.parametrize("search", [*SEARCHES.values(), ["bench"]], ids=[*SEARCHES, "bench"])
def test_places_are_tried_first(
    ovpass: CommandLine, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: list[str]
) -> None:
    """Before anything is measured, and without a trace."""
    monkeypatch.setattr("ovpass.tuning.experiment.Experiment.windows", property(lambda _: pytest.fail("measures")))
    monkeypatch.setattr("ovpass.benchmark.run.run_benchmark", lambda *_: pytest.fail("measures"))
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder.png").mkdir()
    before = contents(tmp_path)
    flags = {"plan": ["-o"], "bisect": ["-o"], "bench": ["--plot"]}.get(search[0], ["-o", "--plot"])
    for flag in flags:
        for place in ("/proc/none/x.png", "/dev/null", tmp_path / "file/x.png", tmp_path / "folder.png", "a" * 300):
            ovpass.refuse(*search, llama, flag, place)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_what_may_not_be_read_or_written(llama: Path, tmp_path: Path) -> None:
    closed, sealed = tmp_path / "closed", tmp_path / "sealed"
    shutil.copytree(llama, closed / "model")
    shutil.copytree(llama, tmp_path / "half")
    sealed.mkdir()
    (tmp_path / "half/config.json").chmod(0)
    closed.chmod(0)
    sealed.chmod(0o500)
    try:
        assert str(closed) in unprivileged("inspect", closed)
        assert str(closed / "model") in unprivileged("explain", closed / "model/openvino_model.xml")
        assert str(closed) in unprivileged("evaluate", llama, closed / "model")
        assert str(closed) in unprivileged("convert", closed / "model", "-o", tmp_path / "out")
        assert str(closed) in unprivileged("apply", llama, "-o", closed / "out")
        assert str(closed) in unprivileged("report", closed / "run.json", "-o", tmp_path / "out.html")
        assert str(sealed) in unprivileged("tune", llama, "--max-kl", 1, "-o", sealed / "plan.yaml")
        assert "config.json" in unprivileged("apply", tmp_path / "half", "-o", tmp_path / "out", "--copy-weights")
    finally:
        closed.chmod(0o700)
    assert not (tmp_path / "out").exists()


def test_a_full_standard_output(llama: Path) -> None:
    """One line says so; nothing more of it comes when Python ends."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ovpass", "inspect", str(llama), "--json"]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("Error: standard output")
    assert ran.stderr.count("\n") == 1
