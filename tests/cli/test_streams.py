"""What reaches a terminal, and streams and signals as shells hand them over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.command import LLAMA, CommandLine, contents

ODD = "a\x1b[31m\x1b]0;title\x07\x9b31m\u202eb"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
PROGRAM = f"{sys.executable} -m ovpass"


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line in bash, with the command line as `$ovpass` and a model as `$model`."""
    env = {**os.environ, "ovpass": PROGRAM, "model": str(LLAMA), **environment}
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


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    """Files take the numbers of closed streams: what is printed must not go into them."""
    ran = shell(f"$ovpass apply $model -o {tmp_path}/out --exempt kind:mlp.down {closed}")
    assert ran.returncode == 0
    shell(f"$ovpass apply $model -o {tmp_path}/usual --exempt kind:mlp.down")
    assert contents(tmp_path / "out") == contents(tmp_path / "usual")
    for refused in ("inspect nowhere", "inspect --nothing"):
        ran = shell(f"$ovpass {refused} {closed}")
        assert ran.returncode == 2
        assert ran.stdout == b""
        assert (ran.stderr == b"") == ("2>&-" in closed)


FEW = [*({"PYTHONIOENCODING": name} for name in ("ascii", "latin-1", "cp1252")), {"LC_ALL": "C", "PYTHONUTF8": "0"}]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", FEW, ids=str)
def test_encodings_of_few_characters(tmp_path: Path, encoding: dict[str, str]) -> None:
    strange = tmp_path / "\N{GREEK SMALL LETTER ALPHA}\N{LATIN SMALL LETTER E WITH ACUTE}"
    for command in ("inspect $model", f"apply $model -o {strange}"):
        ran = shell(f"$ovpass {command}", **encoding)
        assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Written to" in ran.stdout
    ran = shell(f"$ovpass inspect {strange}/nothing", **encoding)
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"Error: ")
    assert ran.stderr.count(b"\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["0", "00", "-1", "1", "x", "\N{SUPERSCRIPT TWO}", "9" * 5000, ""])
def test_odd_widths(columns: str) -> None:
    ran = shell("$ovpass inspect $model", COLUMNS=columns, LINES=columns)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"mlp.down" in ran.stdout
    assert shell("$ovpass inspect nowhere", COLUMNS=columns).stderr.startswith(b"Error: nowhere: ")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["inspect $model --verbose", "inspect $model --json", "--help", "plan --help"])
@pytest.mark.parametrize("streams", ["", "2>&1"])
def test_a_reader_that_has_gone(command: str, streams: str) -> None:
    """As other tools that SIGPIPE ends, and as quietly."""
    ran = shell(f"(sleep 0.2; $ovpass {command} {streams}) | true; echo ${{PIPESTATUS[0]}}")
    assert (ran.stdout.strip(), ran.stderr) == (b"141", b"")


def test_a_full_disk_behind_standard_output() -> None:
    ran = shell("$ovpass inspect $model >/dev/full")
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"Error: standard output: ")
    assert ran.stderr.count(b"\n") == 1
