"""Read the config.json beside a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovpass.errors import ModelError

_CONTEXT = "max_position_embeddings"


def read_config(folder: Path) -> Mapping[str, Any]:
    """The names and values of the config.json in `folder`; nothing where there are none.

    Raises:
        ModelError: for a file that cannot be read as JSON.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def context_length(config: Mapping[str, Any]) -> int | None:
    """How many tokens the model takes, where its configuration, or that of its text part, says so."""
    for part in (config, config.get("text_config")):
        length = part.get(_CONTEXT) if isinstance(part, dict) else None
        if type(length) is int and length > 0:
            return length
    return None
