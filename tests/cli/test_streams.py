"""What reaches a terminal, and streams and signals as shells hand them over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ovpass.cli.streams import brief, in_one_line, visible
from tests.cli.command import LLAMA, CommandLine, contents

ODD = "a\x1b[31m\x1b]0;title\x07\x9b31m\u202eb"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
PROGRAM = f"{sys.executable} -m ovpass"


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line in bash, with the command line as `$ovpass`."""
    env = {**os.environ, "ovpass": PROGRAM, **environment}
    return subprocess.run(["bash", "-c", script], env=env, capture_output=True, check=False)


@pytest.fixture
def odd_plan(ovpass: CommandLine, tmp_path: Path) -> Path:
    """A plan whose reasons and notes hold what terminals obey."""
    path = tmp_path / "plan.yaml"
    ovpass.succeed("plan", LLAMA, "--group-size", 32, "-o", path)
    data = yaml.safe_load(path.read_text())
    data["notes"] = [ODD]
    for decision in data["decisions"]:
        decision["reason"] = ODD
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    return path


def test_text_keeps_its_lines_and_cells_have_one() -> None:
    assert visible("ä\n\tb\x1b") == "ä\n\tb\\x1b"
    assert in_one_line("a\n\tb") == "a\\n\\tb"


def test_messages_are_short_lines() -> None:
    assert brief("one\n  two\r\n\n\x1bthree\n") == "one two \\x1bthree"
    cut = brief(f"first{'x' * 10**6}last")
    assert (len(cut), cut[:6], cut[-5:]) == (1999, "firstx", "xlast")
    assert " ... " in cut


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", f"{'x' * 100_000}.xml"),
        ("plan", LLAMA, "--exempt", "re:" + "x" * 100_000),
        ("plan", LLAMA, "--target", "a\nb" + "x" * 100_000),
    ],
    ids=["path", "pattern", "choice"],
)
def test_errors_are_short_lines(ovpass: CommandLine, arguments: tuple[object, ...]) -> None:
    assert len(ovpass.refuse(*arguments)) < 2_100


@pytest.mark.parametrize(
    "arguments", [("x" * 100_000,), (f"--{'x' * 100_000}",), ("plan", LLAMA, "--axis", "\x1b\n" * 100_000)]
)
def test_usage_errors_are_short(ovpass: CommandLine, arguments: tuple[object, ...]) -> None:
    ran = ovpass(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage" in ran.err
    assert len(ran.err) < 2_300
    assert len(ran.err.splitlines()) <= 4
    assert not CONTROL.search(ran.err)


@pytest.mark.parametrize("options", [(), ("--verbose",)])
def test_a_plan_sends_nothing_to_the_terminal(
    ovpass: CommandLine, odd_plan: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    ran = ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--plan", odd_plan, *options)
    assert not CONTROL.search(ran.out)
    assert "\\x1b" in ran.out


def test_a_name_in_an_error_sends_nothing_either(ovpass: CommandLine) -> None:
    error = ovpass.refuse("inspect", f"{ODD}.xml")
    assert not CONTROL.search(error)


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=str)
def test_a_terminal_without_unicode(tmp_path: Path, environment: dict[str, str]) -> None:
    ran = shell(f"$ovpass apply {LLAMA} -o {tmp_path}/out --group-size 64", **environment)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Written to" in ran.stdout


@pytest.mark.parametrize("columns", ["0", "1", "-5", "x", "9" * 5000])
def test_odd_widths(columns: str) -> None:
    ran = shell(f"$ovpass inspect {LLAMA}; $ovpass inspect nowhere.xml", COLUMNS=columns)
    assert b"lm_head" in ran.stdout
    assert ran.stderr.startswith(b"Error: nowhere.xml")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(tmp_path: Path, redirection: str) -> None:
    ran = shell(f"$ovpass apply {LLAMA} -o {tmp_path}/out --group-size 64 {redirection}; echo $? > {tmp_path}/code")
    assert (tmp_path / "code").read_text() == "0\n"
    assert b"Traceback" not in ran.stderr
    assert contents(tmp_path / "out").keys() == contents(LLAMA).keys()


def test_a_reader_that_goes_away() -> None:
    """`ovpass ... | head -1` ends as other programs do, without a word."""
    ran = shell(f"$ovpass inspect {LLAMA} --verbose --json | head -c 1; exit ${{PIPESTATUS[0]}}")
    assert ran.stderr == b""
    assert ran.returncode in (0, 128 + signal.SIGPIPE)  # 0: all was written before the reader went


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.06, 0.12, 0.25, 0.5])
def test_signals_at_the_start(tmp_path: Path, number: signal.Signals, seconds: float) -> None:
    """From the first line of Python's own start on; before, Python itself may report an interruption."""
    command = [
        sys.executable,
        "-m",
        "ovpass",
        "apply",
        str(LLAMA),
        "-o",
        str(tmp_path / "out"),
        "--lowering",
        "emulate",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        time.sleep(seconds)
        child.send_signal(number)
        _, errors = child.communicate(timeout=60)
    assert child.returncode in (0, -number, 128 + number)
    assert b"ovpass" not in errors or b"Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out"])
