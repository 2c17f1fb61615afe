"""The commands that reproduce a report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from ovpass.reporting.formatting import command_line, from_home
from ovpass.reporting.runs import Run
from ovpass.support.formatting import counted
from ovpass.verification.simulated_gpu import INSTALL_COMMAND

_EXTRAS = {"evaluate": "eval", "sensitivity": "eval", "tune": "eval", "bench": "genai"}
_SHOWN = 12


def commands(runs: Sequence[Run], against: Sequence[Run] = (), note: str = "") -> str:
    """The packages, each run with what it reads, and the report of them."""
    everything = [*runs, *against]
    names = _file_names(everything)
    lines = list(dict.fromkeys(_packages(everything)))
    there: dict[str, str] = {}
    for run, name in zip(everything, names, strict=True):
        needed = [line for path, line in _needed(run).items() if there.get(path) != line]
        there.update(_needed(run))
        arguments = run.header.arguments if "--json" in run.header.arguments else (*run.header.arguments, "--json")
        lines += [*needed, f"{command_line(['ovpass', run.header.command, *arguments])} > {name}"]
    own, other = names[: len(runs)], names[len(runs) :]
    flags = [word for name in other for word in ("--against", name)]
    noted = ["--note", note] if note else []
    lines.append(command_line(["ovpass", "report", *own, *flags, *noted, "-o", "report.html"]))
    return "\n".join(lines)


def _packages(runs: Sequence[Run]) -> Iterator[str]:
    used = {run.header.command for run in runs}
    extras = ",".join(sorted({"report", *(extra for command, extra in _EXTRAS.items() if command in used)}))
    for run in runs:
        yield f"# ovpass {run.header.ovpass}, in its repository:"
        yield f"pip install '.[{extras}]' {command_line([f'openvino=={run.header.openvino}'])}"
    if any(seen.simulated for run in runs for seen in run.verified):
        yield f"# For --simulate:\n{INSTALL_COMMAND}"


def _needed(run: Run) -> dict[str, str]:
    """A comment on each file that a command reads. JSON keeps a name on its line, whatever is in it."""
    found = {}
    for path, text in run.header.files.items():
        found[path] = f"# First save, from below: {json.dumps(from_home(path), ensure_ascii=False)}, {mark(text)}"
    for entry in run.header.inputs:
        shown, digest = (json.dumps(part, ensure_ascii=False) for part in (from_home(entry.path), entry.sha256))
        found[entry.path] = f"# Reads {shown}, {counted(entry.bytes, 'byte')}, SHA-256 {digest}"
    return found


def _file_names(runs: Sequence[Run]) -> list[str]:
    total = Counter(run.header.command for run in runs)
    seen: Counter[str] = Counter()
    names = []
    for run in runs:
        command = run.header.command
        seen[command] += 1
        names.append(f"{command}-{seen[command]}.json" if total[command] > 1 else f"{command}.json")
    return names


def files(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Settings and plans that the commands read, by the name that they were given; two of one name are two."""
    found = dict.fromkeys(pair for run in runs for pair in run.header.files.items())
    return [(f"{from_home(name)}, {mark(text)}", text) for name, text in found]


def mark(text: str) -> str:
    """What tells the text of a file from another of its name."""
    return f"SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:_SHOWN]}"
