"""Default options of commands: `ovpass.toml`, or `[tool.ovpass]` in pyproject.toml, of this folder or one above.

They become arguments in front of those that are typed, so that typed ones win, and results record all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ovpass.cli import COMMANDS
from ovpass.errors import SettingsError
from ovpass.support.choices import near_choice

FILE, PROJECT = "ovpass.toml", "pyproject.toml"
_SETTINGS = (
    *("asymmetric", "at-tokens", "axis", "exempt", "exempt-with", "group-size", "lowering", "only-if-faster"),
    *("requantize", "runtime-option", "target", "threshold"),
)
_PATHS = ("text", "tokenizer")
OPTIONS = (
    *_SETTINGS,
    *_PATHS,
    *("profile", "skip-windows", "stride", "window-tokens", "windows"),
    *(
        "device",
        "max-kl",
        "max-ppl-increase",
        "minutes",
        "mode",
        "output-tokens",
        "prompt-tokens",
        "repeats",
        "samples",
    ),
    *("seed", "simulate", "timeout", "warm-up", "weights", "workers"),
    *("quiet", "verbose"),
)
"""Those that can have a default: none that names an output or runs code, for a folder may be another person's."""


def default_arguments(name: str, command: click.Command, typed: Sequence[str], folder: Path) -> list[str]:
    """The arguments that the nearest file gives a command; keys outside tables are for all commands that know them.

    Settings are left out where a plan is `typed`, which brings its own. Paths are relative to the file.

    Raises:
        SettingsError: for a file that cannot be read, and a key or value that is not allowed, naming both.
    """
    found = _nearest(folder)
    if found is None:
        return []
    path, tables = found
    known = {option.lstrip("-"): each for each in command.params for option in each.opts if option.startswith("--")}
    own = tables.get(name, {})
    planned = any(word.partition("=")[0] == "--plan" for word in typed)
    shared = {key: value for key, value in tables.items() if not isinstance(value, dict) and key in known}
    values = {key: value for key, value in {**shared, **own}.items() if not (planned and key in _SETTINGS)}
    return [word for key, value in values.items() for word in _words(path, known, key, value)]


def _nearest(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    for parent in (folder, *folder.parents):
        for path in (parent / FILE, parent / PROJECT):
            if path.is_file():
                tables = _read(path)
                if path.name == PROJECT:
                    tool = tables.get("tool")
                    tables = tool.get("ovpass") if isinstance(tool, dict) else None
                if tables is not None:
                    _check(path, tables)
                    return path, tables
    return None


def _read(path: Path) -> Any:
    try:
        import tomllib as toml  # noqa: PLC0415 - only where there is such a file
    except ImportError:  # Python 3.10
        import tomli as toml  # noqa: PLC0415
    try:
        return toml.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML: {error}") from error


def _check(path: Path, tables: Any) -> None:
    if not isinstance(tables, dict):
        raise SettingsError(f"{path}: tool.ovpass is no table")
    for key, value in tables.items():
        allowed = COMMANDS if isinstance(value, dict) else OPTIONS
        if key not in allowed:
            near = near_choice(key, allowed)
            hint = f"; did you mean {near!r}?" if near else ""
            kind = "command" if isinstance(value, dict) else "option that can have a default"
            raise SettingsError(f"{path}: {key!r} is no {kind}{hint}")


def _words(path: Path, known: Mapping[str, click.Parameter], key: str, value: Any) -> Iterator[str]:
    if key not in known or key not in OPTIONS:
        near = near_choice(key, known.keys() & set(OPTIONS))
        hint = f"; did you mean {near!r}?" if near else ""
        raise SettingsError(f"{path}: {key!r} is no option of this command that can have a default{hint}")
    option = known[key]
    if isinstance(option, click.Option) and (option.is_flag or option.count):
        if not isinstance(value, bool):
            raise SettingsError(f"{path}: {key} must be true or false, not {value!r:.60}")
        if value:
            yield f"--{key}"
        return
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, (str, int, float)) and not isinstance(each, bool) for each in values):
        raise SettingsError(f"{path}: {key} must be text, a number or a list of them, not {value!r:.60}")
    for each in values:
        yield f"--{key}={path.parent / str(each) if key in _PATHS else each}"
