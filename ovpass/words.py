"""Counts in sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 site`, `2 sites`; `many` where the plural is more than an s, as in `1 site is`, `2 sites are`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
