"""Carry along what a model folder holds besides rewritten models: tokenizers, configurations, other models.

Links are followed, so that the output stands alone. One that leads out of the folder could bring anything into the
output, so it is followed only for the files of a model and within the cache of the Hugging Face hub, whose snapshots
consist of links to `../../blobs`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ovpass.errors import ModelError
from ovpass.ir.files import IrFile, ModelSource
from ovpass.support.atomic_output import place
from ovpass.transformation.run_notes import FILE_NAME

_SNAPSHOTS = "snapshots"


def check_carried(source: ModelSource) -> None:
    """Make sure that everything in a model folder can be carried along; a single model brings nothing.

    Raises:
        ModelError: for a link as `check_link`, for what is no regular file, and for a folder that may not be read.
    """
    if not source.is_folder:
        return
    own = {path for ir in source.models for path in (ir.xml, ir.bin)}
    for path in _entries(source.root):
        if path not in own or not path.is_file():
            check_link(path, source.root)
        if not path.is_dir() and not path.is_file():
            raise ModelError(f"{path}: is not a regular file; remove it from the model folder")


def check_link(path: Path, root: Path) -> None:
    """Make sure that a file of the model folder at `root`, if it is a link, can be followed.

    Raises:
        ModelError: naming a link that leads out of the folder, to a folder or nowhere.
    """
    if not path.is_symlink():
        return
    if path.is_dir():
        raise ModelError(f"{path}: is a link to a folder; put the folder itself there, or remove the link")
    if not path.exists():
        raise ModelError(f"{path}: is a broken link; remove it")
    if _home(root) not in path.resolve().parents:
        raise ModelError(
            f"{path}: is a link out of the model folder, to {path.resolve()}; put the file itself there, "
            "or remove the link"
        )


def carry_along(source: ModelSource, rewritten: Sequence[IrFile], folder: Path, *, copy_weights: bool) -> None:
    """Put everything but the rewritten models into `folder`: weights as hard links, other files as copies.

    Raises:
        OSError: if something cannot be written.
    """
    done = {path for ir in rewritten for path in (ir.xml, ir.bin)}
    for path in _entries(source.root):
        target = folder / path.relative_to(source.root)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path not in done and path.name != FILE_NAME:
            target.parent.mkdir(parents=True, exist_ok=True)
            place(path, target, copy=copy_weights or path.suffix != ".bin")
    for path in (source.root, *(path for path in _entries(source.root) if path.is_dir())):
        # An output can be written to by its owner, whatever its source.
        (folder / path.relative_to(source.root)).chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRWXU)


def _home(root: Path) -> Path:
    """The folder that links may lead to: the model folder, or the hub's folder of the model if it is a snapshot."""
    resolved = root.resolve()
    return resolved.parent.parent if resolved.parent.name == _SNAPSHOTS else resolved


def _entries(root: Path) -> Iterator[Path]:
    """All files, links and folders below `root`; links to folders are not entered."""
    for place_, folders, files in os.walk(root, onerror=_refuse):
        yield from (Path(place_) / name for name in sorted([*folders, *files]))


def _refuse(error: OSError) -> None:
    raise ModelError(f"{os.fsdecode(error.filename)}: cannot be read: {error.strerror}") from error
