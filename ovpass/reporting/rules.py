"""Find the shortest rules that match a set of sites."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ovpass.reporting.sites import Site
from ovpass.sites import kind_order


def rules_for(chosen: Sequence[Site], sites: Sequence[Site]) -> list[str]:
    """Patterns that pick the chosen of all `sites`: kinds where they suffice, kinds in blocks, else names."""
    names = {site.key for site in chosen}
    patterns: list[str] = []
    for kind in sorted({site.kind for site in chosen}, key=kind_order):
        alike = [site for site in sites if site.kind == kind]
        if all(site.key in names for site in alike):
            patterns.append(f"kind:{kind}")
        else:
            patterns += _within(kind, alike, names)
    return patterns


def _within(kind: str, alike: Iterable[Site], names: set[tuple[str, str]]) -> list[str]:
    by_layer: dict[int | None, list[Site]] = defaultdict(list)
    for site in alike:
        by_layer[site.layer].append(site)
    whole = [n for n, found in by_layer.items() if n is not None and all(site.key in names for site in found)]
    single = [
        _exactly(site.name) for n, found in by_layer.items() if n not in whole for site in found if site.key in names
    ]
    return [*(f"kind:{kind}+layer:{text}" for text in ranges(whole)), *single]


def _exactly(name: str) -> str:
    """A name is a pattern already, unless it looks like another."""
    return f"re:{re.escape(name)}" if name.startswith(("re:", "kind:", "layer:")) else name


def ranges(numbers: Iterable[int]) -> list[str]:
    """`[1, 2, 3, 7]` as `["1-3", "7"]`."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [str(low) if low == high else f"{low}-{high}" for low, high in found]
