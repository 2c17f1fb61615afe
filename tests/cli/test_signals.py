"""A command that a signal ends does so at once and quietly, whatever it is doing, and leaves nothing half done."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import contents

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
AT_IMPORT = """
import os, sys
ending, module = int(sys.argv.pop(1)), sys.argv.pop(1)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), ending)

sys.meta_path.insert(0, Finder())
from ovpass.__main__ import main
main()
"""
SWALLOWED = """
import os, sys, time, weakref
from ovpass.__main__ import main
from ovpass.transformation import transform
ending, how = int(sys.argv.pop(1)), sys.argv.pop(1)
place = transform.place

class Referred:
    pass

def end(_=None):
    os.kill(os.getpid(), ending)

def place_and_end(source, destination, *, copy):
    if how == "callback":
        referred = Referred()
        reference = weakref.ref(referred, end)
        del referred
    else:
        try:
            end()
        except:
            pass
    time.sleep(60)
    return place(source, destination, copy=copy)

transform.place = place_and_end
main()
"""
IN_CLEANING_UP = """
import os, sys
from ovpass.__main__ import main
from ovpass.support import atomic_output
ending = int(sys.argv.pop(1))
remove, make = atomic_output.shutil.rmtree, atomic_output.tempfile.mkdtemp

def end_and_remove(*args, **options):
    os.kill(os.getpid(), ending)
    return remove(*args, **options)

def make_and_end(*args, **options):
    made = make(*args, **options)
    os.kill(os.getpid(), ending)
    return made

atomic_output.shutil.rmtree = end_and_remove
atomic_output.tempfile.mkdtemp = make_and_end
main()
"""
IN_MOVING = """
import os, sys
from pathlib import Path
from ovpass.__main__ import main
ending, moves = int(sys.argv.pop(1)), int(sys.argv.pop(1))

def ended(move):
    def move_and_end(self, target):
        global moves
        moved = move(self, target)
        if moves == 0:
            os.kill(os.getpid(), ending)
        moves -= 1
        return moved
    return move_and_end

Path.rename, Path.replace = ended(Path.rename), ended(Path.replace)
main()
"""
FORKED = """
import os, signal, time
from ovpass.cli.signals import ending_in_order
from ovpass.support.signals import undisturbed
for block in (ending_in_order, undisturbed):
    ready, there = os.pipe()
    with block():
        child = os.fork()
        if child == 0:
            os.write(there, b".")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)  # Python drops signals while it forks
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (143, -15)
"""


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def ended_by(number: signal.Signals, ran: subprocess.CompletedProcess[str]) -> bool:
    """Whether it ended by that signal, or as shells report one, and said no more than that."""
    quiet = ran.stderr == "" or (number == signal.SIGINT and ran.stderr.startswith("Interrupted: "))
    return quiet and ran.stderr.count("\n") <= 1 and ran.returncode in (128 + number, -number)


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("module", ["ovpass.cli.main", "click", "ovpass.cli.apply", "numpy", "openvino"])
def test_during_imports(llama: Path, tmp_path: Path, module: str, number: signal.Signals) -> None:
    before = contents(tmp_path)
    ran = run(AT_IMPORT, int(number), module, "apply", llama, "-o", tmp_path / "out", "--lowering", "emulate")
    assert ended_by(number, ran), ran
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("how", ["callback", "except"])
def test_a_library_cannot_swallow_it(llama: Path, tmp_path: Path, how: str, number: signal.Signals) -> None:
    before = contents(tmp_path)
    ran = run(SWALLOWED, int(number), how, "apply", llama, "-o", tmp_path / "new/out")
    assert ended_by(number, ran), ran
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("name", ["out", "one.xml"])
def test_while_cleaning_up(llama: Path, tmp_path: Path, name: str, number: signal.Signals) -> None:
    """Once after the folder for the output is made, and again while it is removed."""
    before = contents(tmp_path)
    source = llama if name == "out" else llama / "openvino_model.xml"
    ran = run(IN_CLEANING_UP, int(number), "apply", source, "-o", tmp_path / "new" / name)
    assert ended_by(number, ran), ran
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(("name", "moves"), [("out", 0), ("out", 1), *(("one.xml", moves) for moves in range(5))])
def test_while_outputs_are_moved(llama: Path, tmp_path: Path, name: str, moves: int) -> None:
    """The earlier output is there, or the new one, and nothing beside it."""
    source, flags = (llama if name == "out" else llama / "openvino_model.xml"), ("--threshold", 128, "--overwrite")
    command = ("apply", source, "-o", tmp_path / name)
    run(IN_MOVING, 0, -1, *command, *flags, "--group-size", 32)
    earlier = contents(tmp_path)
    run(IN_MOVING, 0, -1, *command, *flags)
    new = contents(tmp_path)
    run(IN_MOVING, 0, -1, *command, *flags, "--group-size", 32)
    assert ended_by(signal.SIGTERM, ran := run(IN_MOVING, int(signal.SIGTERM), moves, *command, *flags)), ran
    assert earlier != new
    assert contents(tmp_path) in (earlier, new)


def test_a_fork_ends_at_once() -> None:
    """A library that forks from a thread waits for it."""
    ran = run(FORKED)
    assert (ran.returncode, ran.stderr) == (0, "")
