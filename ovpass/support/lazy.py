"""Import modules, and the names of a package, on first use."""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # to import that of typing takes longer than all the rest of `import ovpass`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A module's `__getattr__`, which finds each name in the module given for it, and its `__dir__`."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names


class _LazyModule:
    """Stands for a module until the first of its names is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def lazy_module(name: str) -> Any:
    """The module of that name, imported when the first of its names is used."""
    return _LazyModule(name)
