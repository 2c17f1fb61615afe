"""Read the config.json beside a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovpass.errors import ModelError
from ovpass.support.structured_text import MalformedError, parse_json, read_text

_CONTEXT = "max_position_embeddings"


def read_config(folder: Path) -> Mapping[str, Any]:
    """The names and values of the config.json in `folder`; nothing where there are none.

    Raises:
        ModelError: for a file that cannot be read as JSON.
    """
    path = folder / "config.json"
    if not path.exists():
        return {}
    try:
        config = parse_json(read_text(path))
    except MalformedError as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def context_length(config: Mapping[str, Any]) -> int | None:
    """How many tokens the model takes, where its configuration, or that of its text part, says so."""
    for part in (config, config.get("text_config")):
        length = part.get(_CONTEXT) if isinstance(part, dict) else None
        if type(length) is int and length > 0:
            return length
    return None
