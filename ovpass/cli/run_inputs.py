"""Files that a command reads besides its models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_TEXTS = ("config", "plan_file")
_OTHERS = ("text", "inputs", "tokenizer", "harness_tasks_dir")
_INSIDE = {"tokenizer": "*token*", "harness_tasks_dir": "**/*.yaml"}
"""Of a folder, what is read of it; a tokenizer's can be a model's, whose weights are another matter."""
_CHUNK = 1 << 20


def texts(params: Mapping[str, Any], plans: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Settings and plans, whole: by path, those of the parameters and `plans`."""
    for path in [*(params[name] for name in _TEXTS if params.get(name) is not None), *plans]:
        try:
            yield str(path), Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue


def inputs(params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All else that was read, told again by its size and hash."""
    for name in _OTHERS:
        given = params.get(name)
        for path in given if isinstance(given, tuple) else (given,):
            if isinstance(path, Path):
                yield from _told(path, _INSIDE.get(name, "*"))


def _told(path: Path, pattern: str) -> Iterator[dict[str, Any]]:
    for file in sorted(path.glob(pattern)) if path.is_dir() else (path,):
        try:
            yield {"path": str(file), "bytes": file.stat().st_size, "sha256": _sha256(file)}
        except OSError:
            continue  # the command itself says what is wrong


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
