"""Run what documents show: console blocks, Python blocks, settings."""

from __future__ import annotations

import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from ovpass.cli.main import main
from ovpass.support.cache import cache_folder
from ovpass.verification.driver import SYSTEM, VARIABLE, current_driver
from ovpass.verification.simulated_gpu import KERNEL_CACHE

ROOT = Path(__file__).parent.parent
COLUMNS = "80"
"""As wide as the site shows code."""
LINKED = ("models", "tests")
"""What documents name as from the top of a checkout."""
SHELL = ("cat", "cmp", "ls", "ovc")
"""Programs beside ovpass that documents may call."""
VARY = "# numbers vary"
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)*(?:e[-+]\d+)?")


@dataclass(frozen=True)
class Command:
    """A command of a block, the output shown below it, and the exit code that a comment tells.

    `...` in what is shown stands for anything, and numbers for any numbers where a comment says that they vary.
    `> FILE` at the end is where standard output goes.
    """

    text: str
    shown: str
    code: int

    @property
    def words(self) -> list[str]:
        """The command and its arguments."""
        return shlex.split(self.text.partition(" > ")[0], comments=True)

    def run(self) -> str:
        """Run it in the current folder; standard output, if it is not redirected."""
        assert self.words[0] in ("ovpass", *SHELL), self.text
        code, out, err = _ovpass(self.words) if self.words[0] == "ovpass" else _program(self.words)
        assert code == self.code, f"{self.text}\n{out}\n{err}"
        _, redirected, file = self.text.partition(" > ")
        if redirected:
            Path(file).write_text(out, encoding="utf-8")
        return "" if redirected else out

    def check(self) -> None:
        """Run it in the current folder; standard output must be what is shown."""
        out = self.run()
        assert self.agrees(out), f"{self.text}\n{out}"

    def agrees(self, out: str) -> bool:
        """Whether that is what is shown."""
        shown, found = (
            (self.shown, out) if VARY not in self.text else (without_numbers(self.shown), without_numbers(out))
        )
        return doctest.OutputChecker().check_output(shown, found, doctest.ELLIPSIS)


@dataclass(frozen=True)
class Document:
    """A Markdown file; `name` is its path from the top of the repository."""

    name: str
    text: str

    def blocks(self, language: str) -> list[str]:
        """The code blocks of that language."""
        return [code for found, code in self.code() if found == language]

    def code(self) -> list[tuple[str, str]]:
        """All code blocks in order, with their languages."""
        return re.findall(r"^```([\w-]+)\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    def commands(self) -> list[Command]:
        """Each command of the console blocks."""
        return [command for block in self.blocks("console") for command in commands_of(block)]


def commands_of(block: str) -> list[Command]:
    """Each command of one block of commands, or of a workflow's steps."""
    found = []
    joined = re.sub(r"\\\n\s*", "", block)
    for part in re.split(r"^(?:\$ | +- run: )", joined, flags=re.MULTILINE)[1:]:
        text, _, shown = part.partition("\n")
        code = re.search(r"# exits with (\d)", text)
        found.append(Command(text, shown, int(code[1]) if code else 0))
    return found


def without_numbers(printed: str) -> str:
    """With 0 for each number, and without the widths that columns have for them."""
    return re.sub(r" +", " ", re.sub("─+", "─", _NUMBER.sub("0", printed)))


def read(name: str) -> Document:
    """A document of the repository."""
    return Document(name, (ROOT / name).read_text(encoding="utf-8"))


def documents() -> list[Document]:
    """All below docs."""
    return [read(path.relative_to(ROOT).as_posix()) for path in sorted(ROOT.glob("docs/**/*.md"))]


def check_commands(document: Document, workplace: Path) -> None:
    """Run all commands in order, in one folder."""
    assert document.commands()
    with at_work(workplace):
        for command in document.commands():
            command.check()


def check_code(document: Document, workplace: Path) -> None:
    """Run all commands and Python blocks in order, in one folder."""
    with at_work(workplace):
        for language, block in document.code():
            if language == "console":
                for command in commands_of(block):
                    command.check()
            elif language == "python":
                run_python(block, document)


def run_python(block: str, document: Document) -> None:
    """Run a Python block of a document in the current folder."""
    exec(compile(block, document.name, "exec"), {"__name__": document.name})


@contextmanager
def at_work(workplace: Path, columns: str = COLUMNS) -> Iterator[None]:
    """Be in that folder, on a terminal of so many columns, with models at hand and caches of its own."""
    for name in LINKED:
        (workplace / name).symlink_to(ROOT / name)
    before = Path.cwd()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # The driver and its kernels are those of the cache they would have otherwise.
    driver = str(current_driver().folder or SYSTEM)
    cache, kernels = str(workplace / ".cache"), cache_folder(KERNEL_CACHE)
    (workplace / ".cache/ovpass").mkdir(parents=True)
    kernels.mkdir(parents=True, exist_ok=True)
    (workplace / ".cache/ovpass" / KERNEL_CACHE).symlink_to(kernels)
    with patch.dict(os.environ, {VARIABLE: driver}, COLUMNS=columns, XDG_CACHE_HOME=cache, PATH=programs):
        os.chdir(workplace)
        try:
            yield
        finally:
            os.chdir(before)


def _ovpass(arguments: list[str]) -> tuple[int, str, str]:
    """In this process: OpenVINO takes longer to load than most commands to run."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with patch.object(sys, "argv", arguments), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
    return code, out.getvalue(), err.getvalue()


def _program(arguments: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
