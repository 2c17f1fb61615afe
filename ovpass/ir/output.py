"""Outputs appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ovpass.errors import OutputError


@contextmanager
def staging(destination: Path) -> Iterator[Path]:
    """A new empty folder on the same file system as `destination`, removed in the end whatever happens.

    Raises:
        OutputError: for any failure of the file system inside the block, naming the destination.
    """
    staged: Path | None = None
    try:
        parent = destination.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".partial", dir=parent))
        yield staged
    except OSError as error:
        raise OutputError(f"{destination}: cannot be written: {error.strerror or error}") from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)


def publish(staged: Path, destination: Path) -> None:
    """Move a finished file or folder to its place, replacing what is there."""
    if destination.is_dir() and not destination.is_symlink():
        # A folder cannot be renamed over a full one: step aside first, and come back if anything goes wrong.
        aside = staged.with_name(f"{staged.name}.replaced")
        destination.rename(aside)
        try:
            staged.rename(destination)
        except OSError:
            aside.rename(destination)
            raise
        shutil.rmtree(aside)
    else:
        staged.replace(destination)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: where that is not possible.
    """
    with staging(path) as folder:
        (folder / path.name).write_text(text, encoding="utf-8")
        publish(folder / path.name, path)


def place(source: Path, destination: Path, *, copy: bool) -> str:
    """Put a file that is not changed at `destination`: a hard link, or a copy where links are not possible.

    Returns "linked" or "copied".
    """
    source = source.resolve()
    if not copy:
        try:
            os.link(source, destination)
            return "linked"
        except OSError:
            pass  # another file system, or one without links: the copy below says what is wrong, if anything
    shutil.copyfile(source, destination)
    return "copied"
