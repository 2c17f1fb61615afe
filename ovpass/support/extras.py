"""Optional packages: imported on use; errors name the missing extra."""

from __future__ import annotations

import importlib
from typing import Any

from ovpass.errors import ExtraError


def extra_module(module: str, extra: str, purpose: str) -> Any:
    """Import `module`, which the extra named `extra` installs.

    Raises:
        ExtraError: if it is missing or cannot be imported, naming the extra, and the cause where it is there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        install = f"install it with pip install 'ovpass[{extra}]'"
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise ExtraError(f"{purpose} needs {module}: {install}") from error
        cause = " ".join(str(error).split())
        raise ExtraError(
            f"{purpose} needs {module}, which is there but cannot be imported: {cause}; {install}"
        ) from error
