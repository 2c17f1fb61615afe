"""Run what documents show: console blocks, Python blocks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COLUMNS = "90"


@dataclass(frozen=True)
class Command:
    """A command of a console block, the output shown below it, and the exit code that a comment tells."""

    text: str
    shown: str
    code: int


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    text: str

    def blocks(self, language: str) -> list[str]:
        """The code blocks of that language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    def commands(self) -> list[Command]:
        """Each command of the console blocks."""
        found = []
        for block in self.blocks("console"):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                text, _, shown = part.partition("\n")
                code = re.search(r"# exits with (\d)", text)
                found.append(Command(text, shown, int(code[1]) if code else 0))
        return found


def read(name: str) -> Document:
    """A document of the repository."""
    return Document((ROOT / name).read_text(encoding="utf-8"))


def check_commands(document: Document, workplace: Path) -> None:
    """Run all commands in order, in one folder; standard output must be what is shown."""
    (workplace / "models").symlink_to(ROOT / "models")
    assert document.commands()
    for command in document.commands():
        arguments = shlex.split(command.text, comments=True)
        assert arguments[0] == "ovpass"
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=workplace,
            env={**os.environ, "COLUMNS": COLUMNS, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (command.code, command.shown), f"{command.text}\n{done.stderr}"
