"""What each device made of the plan, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.reporting.schema import VerifyRun
from ovpass.reporting.side import Side
from ovpass.reporting.sites import OFF
from ovpass.sites import kind_order
from ovpass.support.formatting import counted


@dataclass(frozen=True)
class Device:
    """A device in one row: what it did, or why it could not be asked. `kinds` counts quantized sites of each kind."""

    name: str
    state: str
    planned: str
    quantized: str = ""
    groups: str = ""
    threshold: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class SideBySide:
    """The devices, and the kinds of sites in the order of their counts."""

    kinds: tuple[str, ...]
    devices: tuple[Device, ...]


def side_by_side(side: Side) -> SideBySide | None:
    """None where fewer than two devices were asked."""
    if len(side.verifications) < 2:
        return None
    kind_of = {site.key: site.kind for site in side.sites}
    kinds = tuple(sorted(set(kind_of.values()), key=kind_order))
    return SideBySide(kinds, tuple(_device(seen, kind_of, kinds) for seen in side.verifications))


def _device(seen: VerifyRun, kind_of: dict[tuple[str, str], str], kinds: Sequence[str]) -> Device:
    if seen.error:
        return Device(seen.name, "unknown", f"not checked: {seen.error}")
    on = [site for site in seen.sites if site.found != OFF]
    sizes = Counter(str(site.found) for site in on)
    asked = Counter(kind_of.get((site.submodel, site.name)) for site in seen.sites)
    found = Counter(kind_of.get((site.submodel, site.name)) for site in on)
    wrong = len(seen.mismatches)
    return Device(
        seen.name,
        "on" if seen.ok else "differs",
        "all as planned" if seen.ok else f"{counted(wrong, 'site')} not as planned",
        f"{len(on)} of {len(seen.sites)}",
        ", ".join(size for size, _ in sizes.most_common()),
        "" if seen.threshold is None else counted(seen.threshold, "token"),
        tuple(f"{found[kind]} of {asked[kind]}" if asked[kind] else "" for kind in kinds),
    )
