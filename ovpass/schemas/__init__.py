"""JSON Schemas (2020-12) of what the commands print with --json: one file a command, `common.json` for shared parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ovpass.support.choices import check_choice
from ovpass.support.structured_text import parse_json, read_text

_FOLDER = Path(__file__).parent
_COMMON = "common"


def described_commands() -> list[str]:
    """The commands that have a schema, by name."""
    return sorted(path.stem for path in _FOLDER.glob("*.json") if path.stem != _COMMON)


def load_schema(command: str) -> dict[str, Any]:
    """The schema of the JSON of a command, complete: the files that it refers to are under `$defs`, with their `$id`.

    Raises:
        SettingsError: if the command has no schema.
    """
    check_choice("command", command, described_commands())
    schema = _read(f"{command}.json")
    others = {name: _read(name) for name in sorted(_reached(f"{command}.json", set())) if name != f"{command}.json"}
    return {**schema, "$defs": {**schema.get("$defs", {}), **others}}


def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = parse_json(read_text(_FOLDER / name))
    return data


def _reached(name: str, seen: set[str]) -> set[str]:
    """The file and all that it refers to, directly or by way of others."""
    if name not in seen:
        seen.add(name)
        for reference in _references(_read(name)):
            _reached(reference.partition("#")[0] or name, seen)
    return seen


def _references(schema: Any) -> Iterator[str]:
    """Every `$ref` in a schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)
