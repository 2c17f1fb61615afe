"""A model's own runtime options, and what ovpass notes in it."""

from __future__ import annotations

import json
from typing import Any

import openvino as ov

GROUP_SIZE = ("runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE")
LARGEST_GROUP_SIZE = ("runtime_options", "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX")
_NOTE = ("ovpass", "note")


def read_option(model: ov.Model, path: tuple[str, str]) -> str | None:
    """The text under `path` of the model's runtime info, None where there is none."""
    return str(model.get_rt_info(list(path)).astype(str)) if model.has_rt_info(list(path)) else None


def read_group_size(model: ov.Model, path: tuple[str, str]) -> int | None:
    """A group size among the model's runtime options; None where it is absent or no number."""
    text = read_option(model, path)
    return int(text) if text is not None and text.strip().isdigit() else None


def write_note(model: ov.Model, note: dict[str, Any]) -> None:
    """Keep plain data in the model under rt_info/ovpass, for any reader to find."""
    model.set_rt_info(json.dumps(note, separators=(",", ":")), list(_NOTE))


def read_note(model: ov.Model) -> dict[str, Any] | None:
    """What `write_note` kept, None in a model that ovpass has not changed."""
    text = read_option(model, _NOTE)
    return None if text is None else dict(json.loads(text))
