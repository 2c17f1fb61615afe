"""Optional packages: imported on use; errors name the missing extra."""

from __future__ import annotations

import importlib
import importlib.util
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
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise _missing(module, extra, purpose) from error
        cause = " ".join(str(error).split())
        raise ExtraError(
            f"{purpose} needs {module}, which is there but cannot be imported: {cause}; {_install(extra)}"
        ) from error


def require_package(package: str, extra: str, purpose: str) -> None:
    """Look for `package`, which the extra named `extra` installs, without importing it; of `a.b`, `a` is imported.

    Raises:
        ExtraError: if it is missing.
    """
    parent = package.partition(".")[0]
    if importlib.util.find_spec(parent) is None or importlib.util.find_spec(package) is None:
        raise _missing(package, extra, purpose)


def _missing(name: str, extra: str, purpose: str) -> ExtraError:
    return ExtraError(f"{purpose} needs {name}: {_install(extra)}")


def _install(extra: str) -> str:
    return f"install it with pip install 'ovpass[{extra}]'"
