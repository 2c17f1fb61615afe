"""Find the activation group sizes that fit the weights of a model."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.sites import CompressedMatMul
from ovpass.targets.base import Target
from ovpass.targets.group_sizes import PER_TOKEN

GROUPS = (PER_TOKEN, 1024, 512, 256, 128, 64, 32, 16)


def fitting_group_sizes(target: Target, sites: Sequence[CompressedMatMul]) -> tuple[int, ...]:
    """The usual ones at which the target quantizes as many of the sites as it ever would, each at that very size."""
    longest = max((site.k for site in sites), default=0)
    sizes = [size for size in GROUPS if size == PER_TOKEN or size <= longest]
    exactly = {size: sum(target.verdict(site, size).group_size == size for site in sites) for size in sizes}
    most = max(exactly.values())
    return tuple(size for size, count in exactly.items() if count == most) if most else ()
