"""The keys that docs/reference/json.md has for each command."""

from __future__ import annotations

from tests.docs.tables import Section, codes, sections
from tests.documents import read

REFERENCE = sections(read("docs/reference/json.md").text)
EVERY = "Every command"
SOMETIMES = "only "
"""How the meaning of a key begins that need not be there."""

Key = tuple[str, ...]


def documented(command: str) -> dict[Key, bool]:
    """Keys of a command, those of the sections that it takes them from too, and whether they must be there."""
    keys: dict[Key, bool] = {}
    for section in _sections(command):
        for names, meaning in section.rows():
            keys.update({parsed(name): not meaning.startswith(SOMETIMES) for name in codes(names)})
    return keys


def _sections(command: str) -> list[Section]:
    own = REFERENCE[command]
    taken = [title for title in REFERENCE if f"All of [{title}](#{title}), and:" in own.text]
    return [REFERENCE[EVERY], own, *(REFERENCE[title] for title in taken)]


def parsed(name: str) -> Key:
    return tuple(name.replace("[]", ".[]").split("."))


def stands_for(name: Key, key: Key, *, whole: bool = True) -> bool:
    """Whether `name` is the key, or, if not as a whole, a key of what could be in it."""
    fits = len(name) == len(key) if whole else len(name) >= len(key)
    return fits and all(part == other or part.startswith("{") for part, other in zip(name, key, strict=False))
