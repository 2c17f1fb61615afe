"""The choices that the tuner has kept for this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ovpass.errors import KernelError
from ovpass.kernels.shape import KernelShape
from ovpass.kernels.source import ROW_BLOCKS, Choice
from ovpass.kernels.toolchain import Toolchain
from ovpass.support.atomic_output import write_text
from ovpass.support.structured_text import MalformedError, parse_json, read_text

_SHAPE, _CHOICE = set(KernelShape.__dataclass_fields__), set(Choice.__dataclass_fields__)


def kept_choices(toolchain: Toolchain, folder: Path) -> list[tuple[KernelShape, Choice]]:
    """What `keep_choices` has written to `folder` for this processor; none where it has not.

    Raises:
        KernelError: for a damaged file.
    """
    path = _path(toolchain, folder)
    if not path.exists():
        return []
    try:
        return [_entry(each) for each in parse_json(read_text(path))]
    except (MalformedError, AttributeError, TypeError, ValueError) as error:
        raise KernelError(f"{path}: is damaged: {error}; remove it, and tune again") from error


def keep_choices(toolchain: Toolchain, folder: Path, chosen: Sequence[tuple[KernelShape, Choice]]) -> None:
    """Add choices to those that are kept for this processor; new ones win."""
    merged = {**dict(kept_choices(toolchain, folder)), **dict(chosen)}
    entries = [{**asdict(shape), **asdict(choice)} for shape, choice in merged.items()]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(_path(toolchain, folder), json.dumps(entries, indent=1))


def _entry(given: dict[str, int]) -> tuple[KernelShape, Choice]:
    if given.keys() != _SHAPE | _CHOICE or not all(type(value) is int and value > 0 for value in given.values()):
        raise ValueError(f"{given} is no choice for a shape")
    if given["row_blocks"] not in ROW_BLOCKS:
        raise ValueError(f"row_blocks {given['row_blocks']} is none of {', '.join(map(str, ROW_BLOCKS))}")
    shape = KernelShape(**{key: given[key] for key in _SHAPE})
    return shape, Choice(**{key: given[key] for key in _CHOICE})


def _path(toolchain: Toolchain, folder: Path) -> Path:
    return folder / f"tuned-{hashlib.sha256(toolchain.processor.encode()).hexdigest()[:16]}.json"
