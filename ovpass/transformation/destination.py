"""Check an output path: never the input, and nothing that would be lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ovpass.errors import OutputError
from ovpass.ir.files import ModelSource
from ovpass.support.atomic_output import staging
from ovpass.transformation.run_notes import FILE_NAME, notes_beside

_OF_MODELS = (".xml", ".bin")
_OF_RUNS = (".yaml", ".yml", ".html", ".png", ".svg", ".pdf")
"""Files that no exporter puts into a model folder: one that is there is of an earlier run, and can be replaced."""


def check_files(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Before anything takes long, refuse files that would harm what is read, or that cannot be written.

    `inputs` are the models and files that the command reads; None is one that was not asked for.

    Raises:
        OutputError: naming the file and what is in the way.
    """
    read = [path for path in inputs if path is not None]
    for output in [path for path in outputs if path is not None]:
        place = _resolved(output)
        if output.exists() and not output.is_file():
            kind = "a folder" if output.is_dir() else "not a regular file"
            raise OutputError(f"{output}: is {kind}; name a file to write")
        if any(_belongs(place, path) for path in read):
            raise OutputError(f"{output}: is an input of this command, or part of one; write to another file")
        if output.suffix.lower() in _OF_MODELS and output.exists():
            raise OutputError(f"{output}: is part of a model; write to another file")
        with staging(output):
            pass  # that much can be written there
        read.append(output)


def check_plan_file(output: Path | None, *, overwrite: bool) -> None:
    """Refuse to replace a plan, which people edit.

    Raises:
        OutputError: naming the file.
    """
    _check_free([output] if output is not None else [], overwrite)


def _resolved(output: Path) -> Path:
    try:
        place = output.resolve()
        place.exists()  # asks the system, which knows names that are too long
    except (OSError, RuntimeError) as error:  # the latter for links that lead to themselves
        raise OutputError(f"{output}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    return place


def _belongs(place: Path, given: Path) -> bool:
    """Whether what was given, a file, an IR or a folder, would lose the file at `place`."""
    if given.is_dir():
        return given.resolve() in place.parents and place.exists() and place.suffix.lower() not in _OF_RUNS
    return place in (given.resolve(), given.with_suffix(".bin").resolve())


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
        raise OutputError(f"{output}: overlaps the input; choose another place")
    if not source.is_folder:
        return check_file(output, overwrite)
    _check_free([output], overwrite)
    refuse_link(output)
    _check_replaceable(source, output)
    return output


def refuse_link(output: Path) -> None:
    """A folder cannot take the place of a link.

    Raises:
        OutputError: if there is one, to a folder or to nothing.
    """
    if output.is_symlink():
        raise OutputError(f"{output}: is a link; name what it points to, {output.resolve()}")


def check_folder(source: Path, output: Path, overwrite: bool) -> None:
    """Refuse a folder that overlaps the source, or that is not free.

    Raises:
        OutputError: naming what is in the way.
    """
    place, origin = output.resolve(), source.resolve()
    if place == origin or origin in place.parents or place in origin.parents:
        raise OutputError(f"{output}: overlaps the source; choose another place")
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: is a file; name a folder")
    refuse_link(output)
    _check_free([output], overwrite)


def refuse_foreign(output: Path, made: Path) -> None:
    """A folder is replaced as a whole, so nothing may be in it but what takes its place.

    Raises:
        OutputError: naming a file in `output` that `made` does not have.
    """
    ours = {path.relative_to(made) for path in made.rglob("*")}
    foreign = next((path for path in sorted(output.rglob("*")) if path.relative_to(output) not in ours), None)
    if foreign is not None:
        raise OutputError(f"{foreign}: does not belong to the new model; move it, and run the same command again")


def check_file(output: Path, overwrite: bool) -> Path:
    """Refuse an .xml that would harm what is already there.

    Raises:
        OutputError: naming what is in the way.
    """
    if output.suffix != ".xml":
        raise OutputError(f"{output}: the output of a single model is an .xml; name one")
    weights = output.with_suffix(".bin")
    _check_free([output, weights, notes_beside(output)], overwrite)
    if output.is_dir() or weights.is_dir():
        raise OutputError(f"{output}: is a folder; choose another place")
    return output


def _check_free(parts: Sequence[Path], overwrite: bool) -> None:
    for path in parts:
        if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise OutputError(f"{path}: exists already; choose another place or allow overwriting (--overwrite)")


def _check_replaceable(source: ModelSource, output: Path) -> None:
    """Overwriting replaces a folder as a whole, so nothing may be in it but what an output of this source has."""
    if not output.exists():
        return
    if not output.is_dir():
        raise OutputError(f"{output}: is a file, which a model folder cannot replace; choose another place")
    ours = {path.relative_to(source.root) for path in source.files()} | {Path(FILE_NAME)}
    folders = {parent for path in ours for parent in path.parents}
    foreign = (
        entry.name
        for entry in output.rglob("*")
        if entry.relative_to(output) not in (folders if entry.is_dir() and not entry.is_symlink() else ours)
    )
    if (name := next(foreign, None)) is not None:
        raise OutputError(
            f"{output}: holds {name}, which does not belong to this model; choose another place, or empty it"
        )
