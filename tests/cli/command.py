"""Run the command line in this process, and models to run it on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ovpass.cli.main import main
from ovpass.schemas import described_commands
from tests.cli.schemas import check_schema

MODELS = Path(__file__).resolve().parents[2] / "models"
LLAMA = MODELS / "tiny-llama-int4"
ENCODER = MODELS / "tiny-encoder-int8"
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["ovpass", *sys.argv[2:]]
from ovpass.cli.main import main
main()
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else: without NaN and Infinity, too."""
        return json.loads(self.out, parse_constant=_refuse_constant)


@dataclass(frozen=True)
class CommandLine:
    """Call it with arguments as on a shell. JSON that it prints must be as its schema says."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *args: object) -> Ran:
        self.capture.readouterr()
        with patch.object(sys, "argv", ["ovpass", *map(str, args)]), pytest.raises(SystemExit) as left:
            main()
        captured = self.capture.readouterr()
        ran = Ran(int(left.value.code or 0), captured.out, captured.err)
        if "--json" in args and ran.out and str(args[0]) in described_commands():
            check_schema(str(args[0]), ran.json)
        return ran

    def succeed(self, *args: object) -> Ran:
        """Run what must work, in silence on standard error."""
        ran = self(*args)
        assert (ran.code, ran.err) == (0, "")
        return ran

    def refuse(self, *args: object) -> str:
        """Run what must be refused in one line, which is returned."""
        ran = self(*args)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("Error: ")
        assert ran.err.count("\n") == 1
        return ran.err


def limited(limit: int, *args: object) -> subprocess.CompletedProcess[str]:
    """Run the command line where no file can get larger than `limit` bytes."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, args)], capture_output=True, text=True, check=False
    )


def _refuse_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below, hidden ones too, with a hash of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def pair_folder(folder: Path) -> Path:
    """A model folder with two submodels in subfolders."""
    shutil.copytree(LLAMA, folder / "text")
    shutil.copytree(ENCODER, folder / "vision")
    (folder / "model_index.json").write_text("{}")
    return folder
