"""The record of ovpass's changes in a model, under rt_info/ovpass."""

from __future__ import annotations

import json
from typing import Any

from ovpass.errors import ModelError
from ovpass.ir.metadata import Metadata
from ovpass.support.structured_text import MalformedError, parse_json

_SECTION, _NAME, _VERSION = "ovpass", "note", "version"
_SHOWN = 60


def read_note(metadata: Metadata) -> dict[str, Any] | None:
    """The note as plain data, all of it but the version by name; None in a model that ovpass has not changed.

    Raises:
        ModelError: for a note that ovpass has not written so.
    """
    text = metadata.get(_SECTION, _NAME)
    if text is None:
        return None
    try:
        note = parse_json(text)
    except MalformedError as error:
        raise damaged(metadata, f"is not JSON: {error}") from error
    if not isinstance(note, dict):
        raise damaged(metadata, f"is not a JSON object: {text[:_SHOWN]}")
    for section, entries in note.items():
        if section != _VERSION and not isinstance(entries, dict):
            raise damaged(metadata, f"has no names and values under {section!r}")
    return note


def damaged(metadata: Metadata, what: str) -> ModelError:
    """The refusal of a note, or of what was recorded beside it, with what is wrong with it."""
    return ModelError(
        f"{metadata.owner}: the record of ovpass in it (rt_info/{_SECTION}) is damaged: it {what}; "
        "create the model again from the original"
    )


def write_note(metadata: Metadata, note: dict[str, Any]) -> None:
    """Replace the note."""
    metadata.set(_SECTION, _NAME, json.dumps(note, separators=(",", ":")))


def remove_note(metadata: Metadata) -> None:
    """Leave no trace of ovpass."""
    metadata.remove(_SECTION, _NAME)


def extend_note(metadata: Metadata, section: str, entries: dict[str, Any]) -> None:
    """Add entries to a section of the note.

    Raises:
        ModelError: as `read_note`.
    """
    note = read_note(metadata) or {}
    write_note(metadata, {**note, section: {**note.get(section, {}), **entries}})
