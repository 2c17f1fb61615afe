"""Calls of a GPU's kernels, and how they add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KernelCalls:
    """The calls of one kernel: how many, and their time on the device in ns (None where none was recorded).

    `work_size` is the global one, () where the record has none or the calls differ in it.
    """

    name: str
    calls: int
    total_ns: int | None = None
    average_ns: int | None = None
    minimum_ns: int | None = None
    maximum_ns: int | None = None
    work_size: tuple[int, ...] = ()


def added_up(rows: Iterable[KernelCalls]) -> Iterable[KernelCalls]:
    """One entry a name and work size."""
    sums: dict[tuple[str, tuple[int, ...]], KernelCalls] = {}
    for row in rows:
        key = row.name, row.work_size
        sums[key] = add_calls(sums[key], row) if key in sums else row
    return sums.values()


def in_order(rows: Iterable[KernelCalls]) -> tuple[KernelCalls, ...]:
    """By name and work size."""
    return tuple(sorted(rows, key=lambda row: (row.name, row.work_size)))


def add_calls(one: KernelCalls, other: KernelCalls) -> KernelCalls:
    """Both together, under the name of the first."""
    calls = one.calls + other.calls
    total = _both(lambda a, b: a + b, one.total_ns, other.total_ns)
    return KernelCalls(
        name=one.name,
        calls=calls,
        total_ns=total,
        # Rounded down, as the layer does.
        average_ns=total // calls if total is not None and calls else None,
        minimum_ns=_both(min, one.minimum_ns, other.minimum_ns),
        maximum_ns=_both(max, one.maximum_ns, other.maximum_ns),
        work_size=one.work_size if one.work_size == other.work_size else (),
    )


def _both(combine: Callable[[int, int], int], one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else combine(one, other)
