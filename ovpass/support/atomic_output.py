"""Write outputs completely or not at all: write to a temporary path, then rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ovpass.errors import OutputError
from ovpass.support.signals import undisturbed


@contextmanager
def staging(destination: Path) -> Iterator[Path]:
    """A new empty folder on the same file system as `destination`, removed in the end whatever happens.

    Raises:
        OutputError: for any failure of the file system inside the block, naming the destination.
    """
    staged: Path | None = None
    parent = destination.absolute().parent
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        with undisturbed():
            parent.mkdir(parents=True, exist_ok=True)
            staged = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".partial", dir=parent))
        yield staged
    except OSError as error:
        raise OutputError(f"{destination}: cannot be written: {_reason(error, destination, staged)}") from error
    finally:
        with undisturbed():
            if staged is not None:
                shutil.rmtree(staged, ignore_errors=True)
            _remove_empty(missing)


def _reason(error: OSError, destination: Path, staged: Path | None) -> str:
    """Why, with the name of a file that is neither the output nor a part of it: one to copy, say."""
    why = str(error.strerror or error)
    if staged is None or error.filename is None:
        return why
    path = Path(os.fsdecode(error.filename))
    own = path == destination or staged in path.parents
    return why if own else f"{path}: {why}"


def _remove_empty(folders: Sequence[Path]) -> None:
    """Take away those, innermost first, that nothing came to lie in."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@undisturbed()
def publish(staged: Path, destination: Path) -> None:
    """Move a finished file or folder to its place, replacing what is there; a file never replaces a folder.

    Raises:
        OSError: if that is not possible; what was there is there still.
    """
    if destination.is_dir() and not staged.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if destination.is_dir() and not destination.is_symlink():
        # A folder cannot be renamed over a full one: step aside first, and come back if anything goes wrong.
        aside = staged.with_name(f"{staged.name}.replaced")
        destination.rename(aside)
        try:
            staged.rename(destination)
        except BaseException:
            aside.rename(destination)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    else:
        staged.replace(destination)


@undisturbed()
def publish_together(files: Mapping[Path, Path], obsolete: Sequence[Path] = ()) -> None:
    """Move finished files (places by where they are staged) to their places in order; `obsolete` ones go.

    Raises:
        OSError: if that is not possible for one; then all that was there is there again.
    """
    undo: list[tuple[Path, Path | None]] = []
    staging_folder = next(iter(files)).parent
    try:
        for staged, place_of_it in [*files.items(), *((None, path) for path in obsolete)]:
            aside = None
            if place_of_it.is_symlink() or place_of_it.is_file():
                aside = staging_folder / f"{place_of_it.name}.replaced"
                place_of_it.rename(aside)
                undo.append((place_of_it, aside))
            if staged is not None:
                publish(staged, place_of_it)
                if aside is None:
                    undo.append((place_of_it, None))
    except BaseException:
        for place_of_it, aside in reversed(undo):
            place_of_it.unlink(missing_ok=True)
            if aside is not None:
                aside.rename(place_of_it)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: if that is not possible.
    """
    with staging(path) as folder:
        (folder / path.name).write_text(text, encoding="utf-8")
        publish(folder / path.name, path)


def place(source: Path, destination: Path, *, copy: bool) -> str:
    """Put an unchanged file at `destination`: a hard link, or a copy with its mode if links are not possible.

    Returns "linked" or "copied".
    """
    source = source.resolve()
    if not copy:
        try:
            os.link(source, destination)
            return "linked"
        except OSError:
            pass  # another file system, or one without links: the copy below says what is wrong, if anything
    shutil.copy(source, destination)
    return "copied"
