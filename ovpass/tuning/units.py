"""What a search switches together: single sites, kinds or blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.sites import CompressedMatMul

BY = ("site", "kind", "block")
FIND = ("first", "smallest")
_NO_BLOCK = "no block"


@dataclass(frozen=True)
class Unit:
    """Sites by name that are switched together; `kind` and `layer` are those of a single site."""

    name: str
    members: tuple[str, ...]
    kind: str | None = None
    layer: int | None = None


def make_units(sites: Sequence[CompressedMatMul], by: str) -> list[Unit]:
    """Group sites, in the order of the model."""
    if by == "site":
        return [Unit(site.name, (site.name,), site.kind, site.layer) for site in sites]
    members: dict[str, list[str]] = defaultdict(list)
    for site in sites:
        members[site.kind if by == "kind" else _block(site)].append(site.name)
    return [Unit(name, tuple(names)) for name, names in members.items()]


def _block(site: CompressedMatMul) -> str:
    return _NO_BLOCK if site.layer is None else f"block {site.layer}"
