"""Packages that only some commands need: imported where they are used, named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from ovpass.errors import ExtraError


def extra_module(module: str, extra: str, purpose: str) -> Any:
    """Import `module`, which the extra named `extra` installs.

    Raises:
        ExtraError: where it cannot be imported, naming the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraError(f"{purpose} needs {module}: install it with pip install 'ovpass[{extra}]'") from error
