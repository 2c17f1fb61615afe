"""All commands print in one style: tables of 80 columns, colours on terminals only, progress on standard error."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from ovpass.cli.output import complain, progress
from ovpass.cli.progress import StepBar
from ovpass.cli.table import make_table
from tests.cli.command import ENCODER, LLAMA, MODELS, CommandLine

ZOO = MODELS / "zoo"
LONG = ("whisper", "sd3", "llava")
"""Models with long names of layers, and several of them."""
QUICK = ("--windows", 1, "--window-tokens", 48)
ESCAPE = "\x1b"


def tables(out: str) -> list[str]:
    """The lines of all tables: what lies above a rule, and below it up to a line that is not indented."""
    lines, found = out.splitlines(), []
    for number, line in enumerate(lines):
        if line and set(line.strip()) == {"─"}:
            end = next((n for n in range(number, len(lines)) if not lines[n].startswith(" ")), len(lines))
            found += lines[number - 1 : end]
    return found


def fits(out: str) -> bool:
    """Whether there are tables, all of 80 columns at most but for names alone, with nothing cropped, and plain."""
    assert tables(out)
    assert ESCAPE not in out
    assert "…" not in out
    return all(len(line) <= 80 or " " not in line.strip() for line in tables(out))


@pytest.mark.vnni
@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("detail", [(), ("--verbose",)], ids=["short", "verbose"])
def test_looking_and_changing(ovpass: CommandLine, name: str, detail: tuple[str, ...], tmp_path: Path) -> None:
    source, out = ZOO / name, tmp_path / "out"
    assert fits(ovpass.succeed("inspect", source, *detail).out)
    assert fits(ovpass.succeed("plan", source, "--exempt", "kind:mlp", *detail).out)
    assert fits(ovpass.succeed("explain", source, *detail).out)
    assert fits(ovpass.succeed("apply", source, "-o", out, "--exempt", "kind:mlp", *detail).out)
    assert fits(ovpass.succeed("strip", out, "-o", tmp_path / "back").out)
    assert fits(ovpass.succeed("verify", source, "--device", "CPU", *detail).out)


def test_names_are_whole_wherever_they_are_shown(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "__module.model.layers.1.self_attn.q_proj/aten::linear/MatMul"
    commands = (("inspect", LLAMA), ("plan", LLAMA), ("sensitivity", LLAMA, *QUICK, "--fast"))
    for command in commands:
        assert name in ovpass.succeed(*command, "--verbose").out
    monkeypatch.delenv("COLUMNS")
    for command in commands:
        (line,) = (line for line in ovpass.succeed(*command, "--verbose").out.splitlines() if name in line)
        assert "attn.q" in line


def test_counts_agree_with_their_nouns(ovpass: CommandLine, tmp_path: Path) -> None:
    rule = ("--exempt", "__module.lm_head/aten::linear/MatMul", "--exempt-with", "f16-weights")
    out = ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", *rule).out
    changed = dict(re.findall(r"^ ([a-z-]+) +(1 \S+)", out, re.MULTILINE))
    assert changed == {"exempt": "1 f16-weights", "runtime-options": "1 option", "stamp": "1 note"}


def test_only_what_was_decided_is_coloured() -> None:
    (*_, row) = make_table(["Pass", "Action"], [["exempt", "exempt"]], (), None).split("\n")
    assert [row.plain[span.start : span.end] for span in row.spans if span.style] == ["exempt"]


@pytest.mark.slow
def test_commands_write_groups_and_numbers_alike(ovpass: CommandLine, tmp_path: Path) -> None:
    ranked = ovpass.succeed("sensitivity", LLAMA, *QUICK, "--fast", "--by", "kind", "--state", tmp_path).out
    found = ovpass.succeed("bisect", LLAMA, *QUICK, "--max-kl", 1e-12, "--by", "kind", "--state", tmp_path).out
    tuned = ovpass.succeed("tune", LLAMA, *QUICK, "--max-kl", 1, "--state", tmp_path).out
    compared = ovpass.succeed("evaluate", LLAMA, f"{LLAMA}@64,threshold=0", "--windows", 2, "--window-tokens", 48).out
    assert all("per-token" in line for line in tables(ranked) if "attn." in line)
    assert "per-token" in found
    for out in (ranked, found, tuned, compared):
        assert re.search(r"\de-\d", out)
        assert not re.search(r"e-0|0\.000\d", out)


def test_a_cpu_is_asked_in_f32_unless_it_is_this_one(ovpass: CommandLine) -> None:
    assert "cpu, computing in f32, quantizes" in ovpass.succeed("inspect", LLAMA, "--target", "cpu").out
    assert "f32" not in ovpass.succeed("explain", LLAMA, "--device", "CPU").out.splitlines()[0]


def test_differences(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("plan", ZOO / "llama", "--target", "cpu", "-o", tmp_path / "plan.yaml", "--quiet")
    other = ("--property", "DYNAMIC_QUANTIZATION_GROUP_SIZE=0")
    ran = ovpass("verify", ZOO / "llama", "--device", "CPU", "--plan", tmp_path / "plan.yaml", *other)
    assert ran.code == 1
    assert fits(ran.out)
    assert ran.err == "Failed: 15 sites are not as planned\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        ("sensitivity", "--fast", "--refine", 1, "--verbose"),
        ("sensitivity",),
        ("bisect", "--max-kl", 1e-12, "--by", "kind"),
        ("tune", "--max-kl", 1),
    ],
    ids=lambda args: args[0],
)
def test_searching(ovpass: CommandLine, args: tuple[object, ...], tmp_path: Path) -> None:
    command, *options = args
    assert fits(ovpass.succeed(command, LLAMA, *QUICK, *options, "--state", tmp_path).out)


@pytest.mark.slow
def test_measuring(ovpass: CommandLine) -> None:
    models = (ENCODER, f"{ENCODER}@INFERENCE_PRECISION_HINT=f32,DYNAMIC_QUANTIZATION_GROUP_SIZE=64")
    ran = ovpass.succeed("bench", *models, "--prompt-tokens", "8,16", "--repeats", 2, "--warm-up", 0)
    assert fits(ran.out)
    text = ("--tokenizer", LLAMA, "--windows", 2, "--window-tokens", 16)
    assert fits(ovpass.succeed("evaluate", ENCODER, f"{ENCODER}@32,profile=cpu", *text).out)
    assert fits(ovpass.succeed("evaluate", LLAMA, f"{LLAMA}@32,profile=cpu", *QUICK).out)


def on_a_terminal(*args: object, errors: bool = False, variables: Mapping[str, str] | None = None) -> str:
    """What a command writes to a terminal of 80 columns: to standard output, or to standard error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    own = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR", "CI")}
    child = subprocess.Popen(
        [sys.executable, "-m", "ovpass", *map(str, args)],
        env={**own, "TERM": "xterm-256color", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if errors else theirs,
        stderr=theirs if errors else subprocess.DEVNULL,
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:
        pass  # the other end is closed
    child.wait(60)
    os.close(ours)
    return written.decode()


def plain(text: str) -> str:
    """Without what colours it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_colours_are_for_terminals_that_want_them(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("plan", LLAMA, "--exempt", "kind:lm_head")
    monkeypatch.setenv("FORCE_COLOR", "1")
    piped = ovpass.succeed(*args).out.split()
    assert ESCAPE not in "".join(piped)
    shown = on_a_terminal(*args)
    assert ESCAPE in shown
    assert plain(shown).split() == piped
    assert all(len(line) <= 80 for line in plain(shown).splitlines())
    bare = on_a_terminal(*args, variables={"NO_COLOR": "1"})
    assert ESCAPE not in bare
    assert bare.split() == piped


@pytest.mark.slow
@pytest.mark.vnni
def test_a_bad_verdict_does_not_look_like_a_good_one(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("plan", LLAMA, "--target", "cpu", "-o", tmp_path / "plan.yaml", "--quiet")

    def colour(*options: object) -> str:
        shown = on_a_terminal("verify", LLAMA, "--device", "CPU", "--plan", tmp_path / "plan.yaml", *options)
        line = next(line for line in shown.splitlines() if "sites as planned" in line)
        return re.split("[0-9]+ of", line)[0]

    good, bad = colour(), colour("--property", "DYNAMIC_QUANTIZATION_GROUP_SIZE=0")
    assert ESCAPE in good
    assert good != bad


@pytest.mark.slow
def test_progress_is_for_terminals() -> None:
    candidates = (f"{LLAMA}@32,profile=cpu", f"{LLAMA}@64,profile=cpu")
    shown = on_a_terminal("evaluate", LLAMA, *candidates, *QUICK, "--json", errors=True)
    assert "candidate 2 of 2" in shown
    assert "window 1 of 1" in shown


@pytest.mark.slow
def test_progress_of_all_stages_names_the_stage(tmp_path: Path) -> None:
    shown = on_a_terminal("optimize", ENCODER, "-o", tmp_path / "out", "--target", "cpu", errors=True)
    assert "apply: reading" in shown
    assert "verify: compiling" in shown


def test_the_time_left_is_reckoned_from_the_first_step_on() -> None:
    bar = StepBar(Console(width=100))
    bar.show("window 1 of 3")
    (task,) = bar.progress.tasks
    task.start_time = bar.progress.get_time() - 60
    bar.show("window 2 of 3")
    with bar.progress.console.capture() as captured:
        bar.progress.console.print(bar.progress.get_renderable())
    assert "-0:02:00" in captured.get()


def test_steps_that_are_counted_fill_a_bar() -> None:
    bar = StepBar(Console(stderr=True))
    for step, count in (
        ("loading", (0, None)),
        ("window 1 of 8", (0, 8)),
        ("window 3 of 8", (2, 8)),
        ("another: window 2 of 8", (1, 8)),
        ("only layers.0.of 1 of 2 (3 of 15)", (2, 15)),
        ("4 of 15 sites left", (11, 15)),
        ("all but those", (0, None)),
    ):
        bar.show(step)
        (task,) = bar.progress.tasks
        assert (task.completed, task.total) == count
        assert task.description == step


def test_a_long_step_leaves_room_for_its_bar() -> None:
    console = Console(width=80)
    bar = StepBar(console)
    bar.show(f"only {'__module.model.layers.0.self_attn.q_proj/' * 4} (14 of 15)")
    with console.capture() as captured:
        console.print(bar.progress.get_renderable())
    line = captured.get()
    assert "only __module" in line
    assert "(14 of 15)" in line
    assert "━" * 10 in line
    assert "13/15" in line


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("Error", f"{'a long name ' * 20}[bold]")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"Error: {'a long name ' * 20}[bold]\n")


def test_no_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as step:
        step("one of many")
    assert capsys.readouterr().err == ""
