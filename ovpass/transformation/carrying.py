"""Carry along what a model folder holds besides rewritten models: tokenizers, configurations, other models.

Links are followed, so that the output stands alone. One that leads out of the folder could bring anything into the
output, so it is followed only for the files of a model and within the cache of the Hugging Face hub, whose snapshots
consist of links to `../../blobs`.
"""

from __future__ import annotations

import os
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
        ModelError: naming a link that leads out of the folder, to a folder or nowhere, or what is no regular file.
    """
    if not source.is_folder:
        return
    own = {path for ir in source.models for path in (ir.xml, ir.bin)}
    home = _home(source.root)
    for path in _entries(source.root):
        if path.is_symlink() and path.is_dir():
            raise ModelError(f"{path}: is a link to a folder; put the folder itself there, or remove the link")
        if path.is_symlink() and not path.exists():
            raise ModelError(f"{path}: is a broken link; remove it")
        if path.is_symlink() and path not in own and home not in path.resolve().parents:
            raise ModelError(
                f"{path}: is a link out of the model folder, to {path.resolve()}; put the file itself there, "
                "or remove the link"
            )
        if not path.is_dir() and not path.is_file():
            raise ModelError(f"{path}: is not a regular file; remove it from the model folder")


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


def _home(root: Path) -> Path:
    """The folder that links may lead to: the model folder, or the hub's folder of the model if it is a snapshot."""
    resolved = root.resolve()
    return resolved.parent.parent if resolved.parent.name == _SNAPSHOTS else resolved


def _entries(root: Path) -> Iterator[Path]:
    """All files, links and folders below `root`; links to folders are not entered."""
    for place_, folders, files in os.walk(root):
        yield from (Path(place_) / name for name in sorted([*folders, *files]))
