"""Read the prompts whose answers are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovpass.errors import TextError
from ovpass.support.structured_text import MalformedError, parse_json, read_text

_JSON_LINES = ".jsonl"
_KEY = "prompt"


def read_prompts(path: Path) -> list[str]:
    """One prompt a line; of a .jsonl each line is a string, or an object with the string "prompt".

    Raises:
        TextError: naming the file and the line that is wrong.
    """
    try:
        lines = read_text(path).splitlines()
    except MalformedError as error:
        raise TextError(f"{path}: cannot be read as prompts: {error}") from error
    is_json = path.suffix == _JSON_LINES
    prompts = [
        _from_json(path, number, line) if is_json else line.strip()
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not prompts:
        raise TextError(f"{path}: has no prompts; write one on each line")
    return prompts


def _from_json(path: Path, number: int, line: str) -> str:
    try:
        value: Any = parse_json(line)
    except MalformedError as error:
        raise TextError(f"{path}: line {number} is not JSON: {error}") from error
    text = value.get(_KEY) if isinstance(value, dict) else value
    if not isinstance(text, str) or not text.strip():
        raise TextError(f'{path}: line {number} is neither a string nor an object with a string "{_KEY}"')
    return text
