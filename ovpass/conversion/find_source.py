"""Detect the format of a source from its content."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovpass.conversion import SOURCES
from ovpass.conversion.hugging_face_folder import CONFIG, WEIGHTS
from ovpass.conversion.source import Source
from ovpass.errors import ModelError
from ovpass.ir.files import open_source

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PARTS = (".safetensors", ".bin", ".json")
_HEAD = 16
_SHOWN = 5


@dataclass(frozen=True)
class FoundSource:
    """`model` is the file or folder to convert; `root` is what the user named."""

    source: Source
    root: Path
    model: Path


def find_source(path: Path | str) -> FoundSource:
    """What is at `path`.

    Raises:
        ModelError: if nothing is there, or nothing that can be converted.
    """
    root = Path(path)
    if root.is_dir():
        return _in_folder(root)
    if not root.is_file():
        raise ModelError(_missing(path, root))
    with root.open("rb") as stream:
        head = stream.read(_HEAD)
    for source in SOURCES.values():
        if source.is_file(root, head):
            return FoundSource(source, root, root)
    if root.suffix == ".xml":
        raise ModelError(f"{root}: is an OpenVINO model already")
    if root.suffix in _PARTS:
        raise ModelError(f"{root}: is part of a model; name its folder, {root.parent}")
    raise ModelError(f"{root}: is not a {_titles()} model")


def _titles() -> str:
    *others, last = (source.title for source in SOURCES.values())
    return f"{', '.join(others)} or {last}"


def _missing(path: Path | str, root: Path) -> str:
    if _HUB_ID.fullmatch(str(path)) and not root.parent.exists():
        return f"{path}: no such file or folder; if it is a model on a hub, download it first and name its folder"
    return f"{path}: no such file or folder"


def _in_folder(root: Path) -> FoundSource:
    if holds_ir(root):
        raise ModelError(f"{root}: holds an OpenVINO model already")
    for source in SOURCES.values():
        if models := source.in_folder(root):
            return FoundSource(source, root, _only(root, models))
    if (root / CONFIG).is_file():
        raise ModelError(f"{root}: has {CONFIG} but no weights ({' or '.join(WEIGHTS)})")
    raise ModelError(f"{root}: holds no {_titles()} model")


def holds_ir(root: Path) -> bool:
    """Whether a folder holds an OpenVINO model already."""
    try:
        open_source(root)
    except ModelError:
        return False
    return True


def _only(root: Path, found: Iterable[Path]) -> Path:
    first, *others = found
    if others:
        names = [path.relative_to(root).as_posix() for path in (first, *others)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ModelError(f"{root}: holds several models, {', '.join(names[:_SHOWN])}{more}; name one of them")
    return first
