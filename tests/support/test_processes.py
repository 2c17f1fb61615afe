"""What processes started by this one find and leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ovpass.conversion.convert import convert_source
from ovpass.support.processes import own_modules, python_code, python_module
from tests.conversion.gguf_files import write_gguf
from tests.support.processes import alive, wait_until


@pytest.mark.parametrize("command", [python_code("import openvino"), python_module("openvino")], ids=["code", "module"])
def test_modules_of_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (tmp_path / "openvino.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as of python -m ovpass
    subprocess.run(command, env={**os.environ, **own_modules()}, capture_output=True, check=False)
    assert not (tmp_path / "ran").exists()


def test_converting_in_the_models_folder_runs_none_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    write_gguf(tmp_path / "in/model.gguf")
    (tmp_path / "in/openvino_genai.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path / "in")
    convert_source(".", "../out")
    assert not (tmp_path / "in/ran").exists()


def test_an_interrupted_conversion_leaves_no_process(tmp_path: Path) -> None:
    """The child and the one that it started. The interrupted process is not that of the tests, which has threads."""
    note = tmp_path / "pids"
    code = f"import os, time; child = os.fork(); open({str(note)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
    converting = f"""
from ovpass.conversion.isolated_process import run_python
from ovpass.support.processes import python_code
run_python(python_code({code!r}), "failed")
"""
    environment = {**os.environ, **own_modules()}
    with subprocess.Popen(
        python_code(converting), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        wait_until(lambda: note.exists() and note.read_text().count(" ") == 2)
        parent.send_signal(signal.SIGINT)
        _, errors = parent.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    pids = [int(pid) for pid in note.read_text().split()]
    wait_until(lambda: not any(map(alive, pids)))
