"""Binary search and delta debugging over any items and any predicate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Breaks = Callable[[Sequence[Item]], bool]
Left = Callable[[int], None]
Ahead = Callable[[Iterable[Sequence[Item]]], None]
"""Is told what is asked next, and what may be asked after that, the likeliest first; it can find answers meanwhile."""


class Remembered(Generic[Item]):
    """A question that is not asked twice of the same items, in whatever order; `asked` counts."""

    def __init__(self, breaks: Breaks[Item]) -> None:
        self._breaks = breaks
        self._answers: dict[frozenset[Item], bool] = {}

    @property
    def asked(self) -> int:
        """How many questions were really asked."""
        return len(self._answers)

    def __call__(self, items: Sequence[Item]) -> bool:
        """Whether it is broken with just these items."""
        key = frozenset(items)
        if key not in self._answers:
            self._answers[key] = self._breaks(items)
        return self._answers[key]


def first_breaking(
    items: Sequence[Item],
    breaks: Breaks[Item],
    left: Left = lambda _: None,
    ahead: Ahead[Item] = lambda _: None,
) -> Item:
    """The item with which the items up to it break, and without which those before it do not.

    All items must break, and none of them must not. Asks at most log2 of their number, rounded up; `left` is told
    how many still come into question. Where more items can mend what fewer break, it is one of several such items.
    """
    good, bad = 0, len(items)
    while bad - good > 1:
        left(bad - good)
        middle = (good + bad) // 2
        ahead(items[:end] for end in _middles(good, bad))
        if breaks(items[:middle]):
            bad = middle
        else:
            good = middle
    return items[good]


def _middles(good: int, bad: int) -> Iterator[int]:
    """The middle, those of both halves, of the quarters, and so on."""
    between = deque([(good, bad)])
    while between:
        low, high = between.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            yield middle
            between += [(low, middle), (middle, high)]


def smallest_breaking(
    items: Sequence[Item],
    breaks: Breaks[Item],
    left: Left = lambda _: None,
    ahead: Ahead[Item] = lambda _: None,
) -> list[Item]:
    """Items, in order, that break, and no longer do without any single one of them.

    Delta debugging: the ddmin of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
    Transactions on Software Engineering 28 (2), 2002. It asks at most n^2 + 3n times for n items, 2 log2(n) where a
    single one is at fault. All items must break, and none of them must not. `left` is told how many are left.
    """
    found, parts = list(items), 2
    while len(found) > 1:
        left(len(found))
        chunks = _chunks(found, parts)
        smaller = _first_of(chunks, breaks, ahead)
        if smaller is not None:
            found, parts = smaller, 2
            continue
        rests = [[item for other in chunks if other is not chunk for item in other] for chunk in chunks]
        rest = _first_of(rests, breaks, ahead) if parts > 2 else None
        if rest is not None:
            found, parts = rest, parts - 1
        elif parts == len(found):
            break
        else:
            parts = min(2 * parts, len(found))
    return found


def _first_of(sets: Sequence[list[Item]], breaks: Breaks[Item], ahead: Ahead[Item]) -> list[Item] | None:
    """The first set that breaks."""
    for number, items in enumerate(sets):
        ahead(sets[number:])
        if breaks(items):
            return items
    return None


def _chunks(items: Sequence[Item], parts: int) -> list[list[Item]]:
    """`parts` runs of nearly equal length."""
    ends = [len(items) * number // parts for number in range(parts + 1)]
    return [list(items[start:end]) for start, end in pairwise(ends)]


def fewest(count: int, enough: Callable[[int], bool], start: int) -> int | None:
    """The fewest of 0 to `count` that are enough, if more than enough is enough, too; None if `count` are not.

    The search goes from `start`, where the answer is expected, in steps that double, then by halves.
    """
    low, high, step = -1, count + 1, max(1, count // 32)
    place = start
    while high - low > 1:
        if enough(place):
            high, further = place, place - step
        else:
            low, further = place, place + step
        bracketed = low >= 0 and high <= count
        place = (low + high) // 2 if bracketed else min(max(further, low + 1), high - 1)
        step *= 2
    return high if high <= count else None
