"""What ovpass leaves in a model about what it did, under rt_info/ovpass, for any reader to find."""

from __future__ import annotations

import json
from typing import Any

import openvino as ov

_PATH = ["ovpass", "note"]


def read_note(model: ov.Model) -> dict[str, Any] | None:
    """The note as plain data; None in a model that ovpass has not changed."""
    if not model.has_rt_info(_PATH):
        return None
    return dict(json.loads(model.get_rt_info(_PATH).astype(str)))


def write_note(model: ov.Model, note: dict[str, Any]) -> None:
    """Replace the note."""
    model.set_rt_info(json.dumps(note, separators=(",", ":")), _PATH)


def remove_note(model: ov.Model) -> None:
    """Leave no trace of ovpass."""
    del model.rt_info[_PATH[0]]


def extend_note(model: ov.Model, section: str, entries: dict[str, Any]) -> None:
    """Add entries to a section of the note."""
    note = read_note(model) or {}
    write_note(model, {**note, section: {**note.get(section, {}), **entries}})
