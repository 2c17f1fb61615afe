"""Commands in documents, run or not, have the options and values that are shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import click
import pytest

from ovpass.cli.main import cli
from ovpass.cli.options import settings_from
from ovpass.evaluation.candidates import parse_candidate
from tests.documents import Document, commands_of, documents, read

DOCUMENTS = [read("README.md"), *documents()]
REFUSED = 2
REPLACES = ("report",)
"""Commands that replace their output."""


def in_blocks() -> Iterator[tuple[str, list[str]]]:
    """The arguments of every command of a block, but of those that are shown to be refused."""
    for document in DOCUMENTS:
        for _, block in document.code():
            for command in commands_of(block):
                if command.words[0] == "ovpass" and command.code != REFUSED:
                    yield document.name, command.words[1:]


def in_sentences() -> Iterator[tuple[str, list[str]]]:
    """The same of those between backticks; they need not be whole."""
    for document in DOCUMENTS:
        prose = re.sub(r"^```.*?^```", "", document.text, flags=re.DOTALL | re.MULTILINE)
        for written in re.findall(r"`ovpass\s+([^`]+)`", prose):
            yield document.name, shlex.split(written)


def resolved(arguments: Sequence[str]) -> tuple[str, click.Command, list[str]]:
    """The command, by name and itself, and what is left for it."""
    name, command, rest = cli.resolve_command(click.Context(cli), list(arguments))
    assert name is not None
    assert command is not None
    return name, command, rest


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """What the command takes its arguments for."""
    name, command, rest = resolved(arguments)
    return command.make_context(name, rest, parent=click.Context(cli)).params


def named(found: Iterator[tuple[str, list[str]]]) -> list[object]:
    """Those that name a command, as parameters of a test."""
    return [
        pytest.param(words, id=f"{name}: {' '.join(words)}") for name, words in found if not words[0].startswith("-")
    ]


@pytest.mark.parametrize("arguments", named(in_blocks()))
def test_a_command_of_a_block_is_one(arguments: list[str]) -> None:
    given = parsed(arguments)
    if "sizes" in given and not given["config"]:
        settings_from(given)
    for candidate in given.get("candidates", ()):
        parse_candidate(candidate)
    for order in given.get("wanted", ()):
        for name, *rest in [shlex.split(order)] if " " in order else [[one] for one in order.split(",")]:
            parsed([name, "MODEL", *rest])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_page_can_be_followed_from_top_to_bottom(document: Document) -> None:
    """No command is stopped by what one before it has written."""
    commands = [command for _, block in document.code() for command in commands_of(block)]
    places = [place for command in commands if not command.code for place in written(command.words)]
    assert len(places) == len(set(places))


def written(words: Sequence[str]) -> Iterator[str]:
    """What a command writes that must not be there yet."""
    if words[0] == "ovpass" and words[1] not in REPLACES and not {"--overwrite", "--dry-run"} & set(words):
        yield from (place for option, place in pairwise(words) if option == "-o")


@pytest.mark.parametrize("arguments", named(in_sentences()))
def test_a_command_in_a_sentence_has_these_options(arguments: list[str]) -> None:
    _, command, rest = resolved(arguments)
    flags = {flag for option in command.get_params(click.Context(command)) for flag in option.opts}
    assert {word for word in rest if re.match("--?[a-z]", word)} <= flags


@pytest.mark.parametrize("arguments", ["inspct model", "plan model --exmpt kind:lm_head", "tune model --max-kl much"])
def test_what_is_no_command_would_be_seen(arguments: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(arguments.split())
