"""Move a finished single model to its destination."""

from __future__ import annotations

from pathlib import Path

from ovpass.ir.files import IrFile
from ovpass.support.atomic_output import publish_together
from ovpass.transformation.run_notes import FILE_NAME, notes_beside


def publish_single(ir: IrFile, folder: Path, destination: Path) -> None:
    """The weights first: an .xml never appears without them. Run notes of an earlier output go."""
    files = {folder / ir.bin.name: destination.with_suffix(".bin"), folder / ir.xml.name: destination}
    staged, notes = folder / FILE_NAME, notes_beside(destination)
    if staged.exists():
        publish_together({staged: notes, **files})
    else:
        publish_together(files, obsolete=[notes])
