"""Where an output may go: never over its input, and over nothing else that would be lost."""

from __future__ import annotations

from pathlib import Path

from ovpass.errors import OutputError
from ovpass.ir.files import ModelSource
from ovpass.run_notes import FILE_NAME, notes_beside


def check_destination(source: ModelSource, output: Path, overwrite: bool) -> Path:
    """Refuse an output that would harm the input or what is already there.

    Raises:
        OutputError: naming what is in the way.
    """
    if source.is_folder == (output.suffix == ".xml"):
        form = "a folder" if source.is_folder else "an .xml"
        raise OutputError(f"{output}: the input is {form}, so the output must be one too")
    target, root = output.resolve(), source.root.resolve()
    nested = source.is_folder and (root in target.parents or target in root.parents)
    inputs = {path.resolve() for ir in source.models for path in (ir.xml, ir.bin)}
    if target == root or nested or inputs & {target, target.with_suffix(".bin")}:
        raise OutputError(f"{output}: is, holds or lies in the input; write to another place")
    parts = [output] if source.is_folder else [output, output.with_suffix(".bin"), notes_beside(output)]
    for path in parts:
        if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise OutputError(f"{path}: exists already; choose another place or allow overwriting (--overwrite)")
    _check_replaceable(source, output)
    return output


def _check_replaceable(source: ModelSource, output: Path) -> None:
    """Overwriting replaces a folder as a whole, so nothing may be in it but what an output of this source has."""
    if not source.is_folder:
        if output.is_dir() or output.with_suffix(".bin").is_dir():
            raise OutputError(f"{output}: a folder is in the way; choose another place")
        return
    if not output.exists():
        return
    if not output.is_dir():
        raise OutputError(f"{output}: is a file, and a model folder cannot take its place")
    ours = {path.relative_to(source.root) for path in source.files()} | {Path(FILE_NAME)}
    folders = {parent for path in ours for parent in path.parents}
    foreign = (
        entry.name
        for entry in output.rglob("*")
        if entry.relative_to(output) not in (folders if entry.is_dir() and not entry.is_symlink() else ours)
    )
    if (name := next(foreign, None)) is not None:
        raise OutputError(
            f"{output}: holds {name}, which is not of this model and would be lost; choose another place, or empty it"
        )
