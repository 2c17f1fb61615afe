"""The progress callback of long tasks."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Progress = Callable[[str], None]
"""Called with a few words whenever a new step begins."""
_Part = TypeVar("_Part")


def in_parts(progress: Progress, what: str, parts: Sequence[_Part]) -> Iterator[tuple[Progress, _Part]]:
    """Each part of the work with its own callback, which says which part it is: `candidate 2 of 4, compiling`."""
    for number, part in enumerate(parts, start=1):
        yield _prefixed(progress, f"{what} {number} of {len(parts)}"), part


def _prefixed(progress: Progress, words: str) -> Progress:
    return lambda step: progress(f"{words}, {step}")
