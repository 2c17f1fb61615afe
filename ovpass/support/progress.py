"""The progress callback of long tasks."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Progress = Callable[[str], None]
"""Called with a few words whenever a new step begins."""
_Part = TypeVar("_Part")
_COUNT = re.compile(r"(\d+) of (\d+)\b(.*\bleft\b)?")


def in_parts(progress: Progress, what: str, parts: Sequence[_Part]) -> Iterator[tuple[Progress, _Part]]:
    """Each part of the work with its own callback, which says which part it is: `candidate 2 of 4, compiling`."""
    for number, part in enumerate(parts, start=1):
        yield _prefixed(progress, f"{what} {number} of {len(parts)}"), part


def _prefixed(progress: Progress, words: str) -> Progress:
    return lambda step: progress(f"{words}, {step}")


def count_in(step: str) -> tuple[int, int | None]:
    """How many steps are done, and of how many (None: not counted), by the words of a step.

    A step that says `3 of 8` is the third of eight; `3 of 8 left` leaves three.
    """
    found = list(_COUNT.finditer(step))
    if not found:
        return 0, None
    number, total = int(found[-1][1]), int(found[-1][2])
    return (total - number if found[-1][3] else number - 1), total
