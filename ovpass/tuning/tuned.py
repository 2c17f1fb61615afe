"""What a search for a plan has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ovpass.planning.plan import Plan
from ovpass.support.shown import Shown
from ovpass.targets.group_sizes import format_group_size
from ovpass.tuning.budget import Spent
from ovpass.tuning.kv_tuned import TunedCache
from ovpass.tuning.site_sizes import MIXED


@dataclass(frozen=True)
class Point:
    """A plan that was measured: its group size, or MIXED, the number of sites left out, and what it spends."""

    group_size: int
    left_out: int
    share: float
    worth: float
    spent: Spent


@dataclass(frozen=True)
class Tuned(Shown):
    """The plan, what it spends on the windows it was chosen by and on others, and all points that were measured.

    `left_out` are the sites left out; `for_held_out` is how many of them are so only for the other windows. `finished`
    tells that the time was enough, `holds` that the plan is within the budget on held-out text, to the upper bound.
    `leaving` has for each group size its sites in the order in which they are left out, if any plan leaves some out.
    `cache` is the KV cache that was chosen beside the plan, None where that was not asked for; `held_out` and `holds`
    are about both together.
    """

    plan: Plan
    point: Point
    held_out: Spent
    left_out: tuple[str, ...]
    points: tuple[Point, ...]
    for_held_out: int = 0
    finished: bool = True
    holds: bool = True
    leaving: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    cache: TunedCache | None = None

    @property
    def frontier(self) -> list[Point]:
        """The points that no other one beats in both cost and worth, the cheapest first."""
        best: list[Point] = []
        for point in sorted(self.points, key=lambda point: (point.spent.kl, -point.worth)):
            if not best or point.worth > best[-1].worth:
                best.append(point)
        return best


def size_name(group_size: int) -> int | str:
    """The group size of a point as people read it."""
    return "mixed" if group_size == MIXED else format_group_size(group_size)
