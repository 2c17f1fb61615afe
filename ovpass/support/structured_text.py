"""Read YAML and JSON from anywhere: plain data, or one error that says in a line what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ovpass.support.garbage import collection_paused
from ovpass.support.limits import DEEPEST, LARGEST_FILE, LONGEST_NUMBER


class MalformedError(ValueError):
    """A file or text cannot be read as YAML or JSON. The message is one line and does not name the file."""


def read_text(path: Path | str) -> str:
    """The text of a file in UTF-8.

    Raises:
        MalformedError: if it cannot be read, is too large, or is in another encoding.
    """
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise MalformedError(error.strerror or str(error)) from error
    except ValueError as error:  # a name that no file can have
        raise MalformedError(str(error)) from error
    if len(content) > LARGEST_FILE:
        raise MalformedError(f"it has more than {LARGEST_FILE // 2**20} MiB")
    return decode(content)


def decode(content: bytes) -> str:
    """The text of bytes in UTF-8.

    Raises:
        MalformedError: for another encoding.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"it is not UTF-8 at byte {error.start}") from error


@collection_paused()
def parse_yaml(text: str) -> Any:
    """The plain data of one YAML document: dicts with text as keys, lists, text, numbers, booleans and None.

    Raises:
        MalformedError: for what is no YAML or no plain data, for deep nesting, long numbers, and aliases that expand to
            too much. It names the line.
    """
    import yaml  # noqa: PLC0415 - only where a file is read

    from ovpass.support.plain_yaml import PlainLoader  # noqa: PLC0415

    try:
        loader = PlainLoader(text)
        try:
            return loader.plain_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:  # ValueError: characters that no encoding has
        raise MalformedError(_reason(error, text)) from error


@collection_paused()
def parse_json(text: str) -> Any:
    """The plain data of one JSON document. NaN and Infinity, which ovpass once wrote, are read as numbers.

    Raises:
        MalformedError: for what is no JSON, for deep nesting and long integers.
    """
    try:
        data = json.loads(text, parse_int=_integer)
    except ValueError as error:
        raise MalformedError(str(error)) from error
    except RecursionError:
        raise MalformedError(_TOO_DEEP) from None
    _check_depth(data)
    return data


_TOO_DEEP = f"lists and objects are nested more than {DEEPEST} deep"


def _reason(error: Exception, text: str) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if not mark or not problem:
        return " ".join(str(error).split())
    last = len(text.splitlines()) or 1  # libyaml finds out on the line behind it that there is no more
    return f"line {min(mark.line + 1, last)}: {problem}"


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise MalformedError(f"a number has {len(digits)} digits; it has at most {LONGEST_NUMBER}")
    return int(digits)


def _check_depth(data: Any) -> None:
    """Level by level: this is as fast as JSON is read, and does not recurse."""
    level = [data]
    for _ in range(DEEPEST + 1):
        containers = [part for part in level if isinstance(part, (dict, list))]
        if not containers:
            return
        level = [part for each in containers for part in (each.values() if isinstance(each, dict) else each)]
    raise MalformedError(_TOO_DEEP)
