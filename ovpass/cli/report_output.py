"""Check the output path of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ovpass.errors import OutputError
from ovpass.transformation.destination import check_files

_OURS = b'<meta name="generator" content="ovpass '
_HEAD = 4096


def check_output(output: Path, inputs: Sequence[Path]) -> Path:
    """Where to write, at the end of links; what was given, or is no page of ovpass, must not be written over.

    Raises:
        OutputError: before anything takes long.
    """
    check_files([output], inputs)
    place = output.resolve()
    if place.exists() and not _replaceable(place):
        raise OutputError(f"{output}: exists and is not a report of ovpass; write to another file")
    return place


def _replaceable(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    return not head or _OURS in head
