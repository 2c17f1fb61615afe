"""Parse MODEL@key=value arguments."""

from __future__ import annotations

from pathlib import Path


def split_model(text: str) -> tuple[Path, str | None]:
    """The model and what follows its @; both can hold an @ themselves, so the longest path that is there counts."""
    if "@" not in text or Path(text).exists():
        return Path(text), None
    parts = text.split("@")
    for count in range(len(parts) - 1, 0, -1):
        path = "@".join(parts[:count])
        if path and Path(path).exists():
            return Path(path), "@".join(parts[count:])
    return Path("@".join(parts[:-1])), parts[-1]
