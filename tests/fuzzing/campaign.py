"""Cases by number: each edits one file and runs the commands that read it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ovpass.support.processes import own_modules, python_code
from tests.fuzzing.kinds import KINDS, OUT
from tests.fuzzing.runner import run

_READ = """
import json, openvino as ov
core = ov.Core()
for number, path in enumerate(json.load(sys.stdin)):
    print(number, "started", flush=True)
    try:
        core.read_model(path)
        print(number, "read", flush=True)
    except Exception:
        print(number, "refused", flush=True)
"""
_BATCH = 100
_FOUND = "finding.txt"
_WRITING = ("apply", "strip", "convert")


@dataclass(frozen=True)
class Finding:
    """What went wrong in a case: the command, and how."""

    kind: str
    number: int
    command: str
    problem: str


_Written = tuple[Finding, Path, Path | None, Path]
"""A finding if OpenVINO cannot read the last path, the output, but can read the one before; the folder of its case."""


@dataclass(frozen=True)
class Campaign:
    """Edits files of some kinds in `folder`; cases of one seed are always the same. Files of findings are kept."""

    folder: Path
    seed: int
    kinds: Sequence[str]
    progress: Callable[[str], None] = lambda _: None

    def run(self, cases: int) -> Iterator[Finding]:
        """The findings of that many cases, in turns of all kinds."""
        for kind in self.kinds:
            (self.folder / "sources" / kind).mkdir(parents=True)
            KINDS[kind].prepare(self.folder / "sources" / kind)
        waiting: list[_Written] = []
        for number in range(cases):
            self.progress(f"case {number + 1} of {cases}")
            yield from self._case(self.kinds[number % len(self.kinds)], number, waiting)
            if len(waiting) >= _BATCH:
                yield from self._unreadable(waiting)
        yield from self._unreadable(waiting)

    def _case(self, kind: str, number: int, waiting: list[_Written]) -> Iterator[Finding]:
        place = self.folder / f"{kind}-{number}"
        place.mkdir()
        commands = KINDS[kind].edit(self.folder / "sources" / kind, place, Random(f"{self.seed} {kind} {number}"))
        keep = False
        for arguments in commands:
            output = place / ("out.xml" if any(str(part).endswith("model.xml") for part in arguments) else "out")
            command = [str(output if part is OUT else part) for part in arguments]
            before = _state(place)
            ran = run(command)
            problem = self._problem(ran.code, ran.escaped, ran.err, before, place, output)
            found = Finding(kind, number, " ".join(command), problem or "OpenVINO cannot read what was written")
            if problem:
                keep = True
                (place / _FOUND).write_text(problem, encoding="utf-8")
                yield found
            elif ran.code == 0 and arguments[0] in _WRITING:
                keep = True
                waiting.extend((found, place, source, written) for source, written in _written(place, output))
        if not keep:
            shutil.rmtree(place)

    def _problem(
        self, code: int, escaped: str | None, err: str, before: dict[str, str], place: Path, output: Path
    ) -> str | None:
        if escaped is not None:
            return escaped
        after = _state(place)
        if {name: after.get(name) for name in before} != before:
            return "an input was changed"
        if code == 2 and after.keys() - before.keys():
            return f"left {', '.join(sorted(after.keys() - before.keys()))} behind"
        if code not in (0, 1, 2):
            return f"exit code {code}"
        if code == 2 and len(err.strip().splitlines()) > 3:
            return f"an error of several lines: {err}"
        return None

    def _unreadable(self, waiting: list[_Written]) -> Iterator[Finding]:
        """Outputs that OpenVINO cannot read though it reads their inputs."""
        paths = list(dict.fromkeys(str(path) for *_, source, output in waiting for path in (source, output) if path))
        readable = dict(zip(paths, _readable(paths), strict=True))
        kept = {place for _, place, *_ in waiting if (place / _FOUND).exists()}
        for finding, place, source, output in waiting:
            if not readable[str(output)] and (source is None or readable[str(source)]):
                kept.add(place)
                yield finding
        for place in {place for _, place, *_ in waiting} - kept:
            shutil.rmtree(place)
        waiting.clear()


def _written(place: Path, output: Path) -> Iterator[tuple[Path | None, Path]]:
    """The IRs at `output`, each behind the edited one that it was made of; None if none was."""
    edited = place / "model.xml"
    for xml in sorted(output.glob("*.xml")) if output.is_dir() else [output]:
        if "tokenizer" not in xml.name:  # reading one takes an extension
            yield (edited if edited.exists() else None), xml


def _readable(paths: list[str]) -> list[bool]:
    """Whether OpenVINO reads each file; one that crashes it counts as refused."""
    answers: list[bool] = []
    while len(answers) < len(paths):
        child = subprocess.run(
            python_code(_READ), input=json.dumps(paths[len(answers) :]), text=True, capture_output=True,
            env=own_modules(), check=False,
        )  # fmt: skip
        words = [line.split()[1] for line in child.stdout.splitlines() if line[:1].isdigit()]
        answers += [word == "read" for word in words if word != "started"]
        if words and words[-1] == "started":
            answers.append(False)
        if not words:
            raise RuntimeError(child.stderr)
    return answers


def _state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
