"""The JSON Schemas and docs/reference/json.md have the same keys, and a schema refuses any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ovpass.schemas import described_commands, load_schema
from tests.cli.command import LLAMA, CommandLine
from tests.cli.schemas import check_schema
from tests.docs.json_keys import EVERY, REFERENCE, Key, documented, stands_for

SUBMODEL = "submodel"
"""A key of many lists, which the page tells once."""


def test_every_command_with_json_has_a_schema() -> None:
    assert described_commands() == sorted(REFERENCE.keys() - {EVERY})


@pytest.mark.parametrize("command", described_commands())
def test_keys(command: str) -> None:
    schema = load_schema(command)
    keys, told = set(_keys(schema, schema, schema, ())), documented(command).keys()
    there = {*told, *_told_elsewhere(command)}
    assert not [key for key in keys if not any(stands_for(name, key) for name in there)], "not documented"
    assert not [name for name in told if not any(stands_for(name, key) for key in keys)], "not in the schema"


def test_another_key_is_refused(ovpass: CommandLine) -> None:
    printed = ovpass.succeed("plan", LLAMA, "--json").json
    for changed in ({**printed, "more": 1}, {**printed, "counts": {**printed["counts"], "more": 1}}):
        with pytest.raises(AssertionError, match="more"):
            check_schema("plan", changed)
    with pytest.raises(AssertionError, match="notes"):
        check_schema("plan", {key: value for key, value in printed.items() if key != "notes"})


def test_schema_is_printed_whole(ovpass: CommandLine) -> None:
    printed = ovpass.succeed("schema", "optimize").json
    assert printed == load_schema("optimize")
    assert {"common.json", "apply.json", "verify.json"} <= printed["$defs"].keys()
    assert "did you mean 'optimize'" in ovpass.refuse("schema", "optimise")


def _told_elsewhere(command: str) -> Iterator[Key]:
    """Keys for which a sentence of the page refers to others."""
    if command == "compress":
        yield from documented("apply")  # with --then-apply
    if command == "verify":
        yield from (("devices", "[]", *key) for key in documented("verify"))  # with --simulate all


def _keys(part: Mapping[str, Any], file: Mapping[str, Any], whole: Mapping[str, Any], above: Key) -> Iterator[Key]:
    """The path of every value that data can have; what another command prints is one value."""
    if "$ref" in part:
        name, _, inside = part["$ref"].partition("#/$defs/")
        if name in ("", "common.json"):
            file = whole["$defs"][name] if name else file
            yield from _keys(file["$defs"][inside], file, whole, above)
        else:
            yield above
        return
    branches = [*part.get("allOf", []), *part.get("anyOf", [])]
    named = {name: value for name, value in part.get("properties", {}).items() if name != SUBMODEL}
    named |= {"{name}": part["additionalProperties"]} if part.get("additionalProperties") else {}
    for branch in branches:
        yield from () if branch == {"type": "null"} else _keys(branch, file, whole, above)
    for name, value in named.items():
        yield from _keys(value, file, whole, (*above, name))
    if "items" in part:
        listed = (*above, "[]")
        yield from (above if key == listed else key for key in _keys(part["items"], file, whole, listed))
    elif not (branches or named):
        yield above
