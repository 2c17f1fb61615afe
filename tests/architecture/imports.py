"""The modules of ovpass and what each of them imports, read from their text."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import ovpass

PACKAGE = Path(ovpass.__file__).parent


@cache
def imports() -> dict[str, set[str]]:
    """By module all modules of ovpass that it imports, within functions and for type checkers, too."""
    paths = {_dotted(path): path for path in PACKAGE.rglob("*.py")}
    return {module: set(_imported(path, paths)) - {module} for module, path in paths.items()}


def cycles() -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others."""
    groups = []
    for module in imports():
        group = sorted(other for other in _reached(module) if module in _reached(other))
        if len(group) > 1 and group[0] == module:
            groups.append(group)
    return groups


def room(module: str) -> str:
    """The room of a module; for one that lies at the top, its own name."""
    return module.split(".")[1] if "." in module else ""


@cache
def _reached(module: str) -> frozenset[str]:
    seen: set[str] = set()
    queue = list(imports()[module])
    while queue:
        other = queue.pop()
        if other not in seen:
            seen.add(other)
            queue += imports()[other]
    return frozenset(seen)


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, modules: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in modules:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in named)
