"""Runs on large models that documents show: the same commands run on small ones, and print the same tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.stand_ins import furnish, heads, sentences
from tests.documents import ROOT, Command, Document, at_work, commands_of, documents, read

pytestmark = pytest.mark.slow

LEFT_OUT = ("-hf", "arc_easy", "gsm8k,coqa", "ovpass devices", "--execution-graph", "verify model --simulate all")
"""Of commands: they need the exporters' environment, a network, a file from another machine, or minutes."""
PROGRAMS = ("ovpass", "ovc")
COLUMNS = "160"
"""Random models have longer numbers, and some longer names, than those shown."""


def shown(document: Document) -> Iterator[Command]:
    """The commands of its blocks that are not run elsewhere."""
    for language, block in document.code():
        if language in ("shell-session", "yaml"):
            for command in commands_of(block):
                if command.words[0] in PROGRAMS and not any(part in command.text for part in LEFT_OUT):
                    yield command


def asks_a_gpu(command: Command) -> bool:
    return bool({"--simulate", "--verify"} & set(command.words))


RUNS = [
    pytest.param(commands, id=document.name, marks=[pytest.mark.gpu] if any(map(asks_a_gpu, commands)) else [])
    for document in (read("README.md"), *documents())
    for commands in [list(shown(document))]
    if any(command.shown.strip() for command in commands)
]


@pytest.mark.parametrize("commands", RUNS)
def test_what_is_shown_is_what_is_printed(
    commands: list[Command], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if any(map(asks_a_gpu, commands)):
        request.getfixturevalue("simulated")("panther-lake")
    furnish(tmp_path)
    with at_work(tmp_path, COLUMNS):
        for command in commands:
            compare(command, command.run())


def compare(command: Command, out: str) -> None:
    """Tables have the same heads, and sentences the same form, but for what `...` leaves out."""
    if not command.shown.strip():
        return
    partly = "..." in command.shown
    assert heads(command.shown) == [head for head in heads(out) if not partly or head in heads(command.shown)], out
    missing = sentences(out) - sentences(command.shown)
    assert not sentences(command.shown) - sentences(out), out
    assert partly or not missing, command.text


def test_the_program_to_record_runs(tmp_path: Path) -> None:
    (program,) = read("docs/intercept-log.md").blocks("py")
    (tmp_path / "model_out").symlink_to(ROOT / "models" / "tiny-llama-int4")
    with at_work(tmp_path):
        exec(compile(program.replace('"GPU"', '"CPU"'), "run.py", "exec"), {})
