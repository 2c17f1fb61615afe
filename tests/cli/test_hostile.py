"""What comes from outside runs nothing, and does to a terminal or a browser nothing but to be shown."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import ENCODER, LLAMA, CommandLine
from tests.cli.hostile import SITES, hostile_model

UNFIT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which nothing called pwned may appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_plain(text: str) -> bool:
    """Whether a terminal only shows it."""
    return UNFIT.search(text) is None


def pwned(folder: Path) -> bool:
    """Whether something has run."""
    return any(path.name.startswith("pwned") for path in folder.rglob("*"))


def source(notes: Path, cwd: Path) -> list[str]:
    """The environment variables after sourcing a file."""
    command = ["sh", "-c", '. "$1" && env', "sh", str(notes)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env={"PATH": os.environ["PATH"]})
    return ran.stdout.splitlines()


@pytest.mark.vnni
def test_names_run_nothing(place: Path, ovpass: CommandLine) -> None:
    model = hostile_model(place)
    threshold = ("--threshold", 128)
    shown = [
        ovpass.succeed("inspect", model, "--verbose").out,
        ovpass.succeed("plan", model, "--verbose", "--exempt", f"re:{re.escape(next(iter(SITES.values())))}").out,
        ovpass.succeed("plan", model, *threshold, "-o", "plan.yaml").out,
        ovpass.succeed("apply", model, "-o", place / f"out {model.name}", "--plan", "plan.yaml", "--verbose").out,
        ovpass.succeed("verify", model, "--device", "CPU", "--verbose").out,
        ovpass.succeed("explain", model, "--verbose").out,
    ]
    assert all(is_plain(out) for out in shown)
    assert r"\x9b31m\x85\u202e\u2066{model}" in shown[0]
    variables = source(place / f"out {model.name}/ovpass_run.env", place)
    assert "OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD=128" in variables
    assert not pwned(place)


def test_names_run_nothing_in_a_report(place: Path, ovpass: CommandLine) -> None:
    model = hostile_model(place)
    ran = ovpass.succeed("report", model, "--run", "inspect,plan", "--note", "<script>", "-o", "<script>.html")
    page = (place / "<script>.html").read_text(encoding="utf-8")
    assert is_plain(ran.out)
    assert is_plain(page.replace("\t", " "))
    assert "alert(1)" in page
    assert len(re.findall(r"<script\b", page)) == len(re.findall(r"</script>", page)) == 1
    assert "<script>alert" not in page
    assert not pwned(place)


def test_errors_are_plain_lines(place: Path, ovpass: CommandLine) -> None:
    model = hostile_model(place)
    for refused in (
        ovpass.refuse("inspect", f"{model}-none"),
        ovpass.refuse("plan", model, "--exempt", "\x1b]0;title\x07\n"),
        ovpass.refuse("apply", LLAMA, "-o", "out", "--plan", model / "openvino_model.xml"),
        ovpass.refuse("plan", LLAMA, "--config", model / "config.json"),
        ovpass.refuse("apply", model, "-o", model),
    ):
        assert is_plain(refused)
    for arguments in (["\x1b[31m"], ["inspect", "--\x1b[31m"], ["inspect", LLAMA, "\x9b31m\udc9b"]):
        ran = ovpass(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert is_plain(ran.err)


def test_commands_to_copy_are_quoted(place: Path, ovpass: CommandLine) -> None:
    """What is said to be typed next leads to the file, not to what its name would run."""
    floats = place / "$(touch pwned)\x1b'.onnx"
    floats.write_bytes(b"")
    refused = ovpass.refuse("inspect", floats)
    command = refused[refused.index("ovpass convert") :].strip().replace("ovpass convert", "printf %s", 1)
    ran = subprocess.run(["bash", "-c", command.replace(" -o OUT", "")], capture_output=True, text=True, check=True)
    assert ran.stdout == str(floats)
    assert not pwned(place)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_environment", {"X": "$(touch pwned)"}),
        ("run_environment", {"LD_PRELOAD": "pwned.so"}),
        ("run_properties", {"P\ntouch pwned": "a\ntouch pwned"}),
    ],
)
def test_a_plan_brings_no_variables_of_its_own(
    place: Path, ovpass: CommandLine, key: str, value: dict[str, str]
) -> None:
    ovpass.succeed("plan", LLAMA, "-o", "plan.yaml", "--quiet")
    text = Path("plan.yaml").read_text(encoding="utf-8")
    Path("plan.yaml").write_text(text.replace(f"{key}: {{}}", f"{key}: {value!r}"), encoding="utf-8")
    refused = ovpass.refuse("apply", LLAMA, "-o", "out", "--plan", "plan.yaml")
    assert "plan.yaml" in refused
    assert f"{key}: " in refused
    assert not Path("out").exists()
    assert not pwned(place)


def test_neither_does_the_note_of_a_model(place: Path, ovpass: CommandLine) -> None:
    ovpass.succeed("apply", LLAMA, "-o", "out", "--threshold", 128, "--quiet")
    xml = place / "out/openvino_model.xml"
    text = xml.read_text(encoding="utf-8")
    assert "OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD" in text
    xml.write_text(text.replace("OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD", "LD_PRELOAD"), encoding="utf-8")
    for command in (("verify", "--device", "CPU"), ("bench",)):
        refused = ovpass.refuse(command[0], xml, *command[1:])
        assert "openvino_model.xml" in refused
        assert "LD_PRELOAD" in refused


def test_yaml_makes_no_objects(place: Path, ovpass: CommandLine) -> None:
    """Neither settings nor plans."""
    Path("evil.yaml").write_text("!!python/object/apply:os.system ['touch pwned']\n")
    Path("inside.yaml").write_text("group_size: !!python/object/apply:os.system ['touch pwned']\n")
    for name in ("evil.yaml", "inside.yaml"):
        assert name in ovpass.refuse("plan", LLAMA, "--config", name)
        assert name in ovpass.refuse("apply", LLAMA, "-o", "out", "--plan", name)
    assert not pwned(place)


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def test_arrays_are_not_unpickled(place: Path, ovpass: CommandLine) -> None:
    np.savez("inputs.npz", input_ids=np.array([Evil()], dtype=object))
    Path("raw.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("inputs.npz", "raw.npz"):
        assert name in ovpass.refuse("evaluate", ENCODER, f"{ENCODER}@64", "--inputs", name)
    assert not pwned(place)


@pytest.mark.parametrize("check", ['test -f "{model}"', "sh -c 'test -f {model}'", 'echo "$(cat {model})"'])
def test_a_check_names_the_model_outside_of_quotes(place: Path, ovpass: CommandLine, check: str) -> None:
    assert "OVPASS_MODEL" in ovpass.refuse("bisect", ENCODER, "--check", check)
    assert not pwned(place)


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        "test -f {model}/config.json",
        "test -e",
        'test -f "$OVPASS_MODEL/config.json"',
        "sh -c 'test -f \"$OVPASS_MODEL/config.json\"'",
        "cat <<end | grep -q model\n{model}\nend",
        "x=`ls {model}/config.json`",
    ],
)
def test_a_check_runs_nothing_of_a_path(
    place: Path, ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    """The folder for temporary files has such a name, and so has the model."""
    temporary = place / "$(touch pwned) `touch pwned`"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert not ovpass.succeed("bisect", hostile_model(place), "--check", check, "--json").json["broken"]
    assert not pwned(place)
