"""What ovpass leaves in a model about what it did, under rt_info/ovpass, for any reader to find."""

from __future__ import annotations

import json
from typing import Any

from ovpass.ir.metadata import Metadata

_SECTION, _NAME = "ovpass", "note"


def read_note(metadata: Metadata) -> dict[str, Any] | None:
    """The note as plain data; None in a model that ovpass has not changed."""
    text = metadata.get(_SECTION, _NAME)
    return None if text is None else dict(json.loads(text))


def write_note(metadata: Metadata, note: dict[str, Any]) -> None:
    """Replace the note."""
    metadata.set(_SECTION, _NAME, json.dumps(note, separators=(",", ":")))


def remove_note(metadata: Metadata) -> None:
    """Leave no trace of ovpass."""
    metadata.remove(_SECTION, _NAME)


def extend_note(metadata: Metadata, section: str, entries: dict[str, Any]) -> None:
    """Add entries to a section of the note."""
    note = read_note(metadata) or {}
    write_note(metadata, {**note, section: {**note.get(section, {}), **entries}})
