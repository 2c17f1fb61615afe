"""The selection grammar for sites, the same in flags, files and Python.

MatMul_46                       the site with this name
re:.*self_attn.*                sites whose whole name the expression matches
kind:mlp.down   kind:attn       sites of a kind, or of a family of kinds
layer:3         layer:0-5       sites of these blocks
layer:-1        layer:-4--1     the same, counted from the last block
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ovpass.errors import SettingsError
from ovpass.sites import KINDS
from ovpass.support.choices import near_choice
from ovpass.support.formatting import counted

_SHOWN = 3
_PREFIXES = ("re", "kind", "layer")
_LAYERS = re.compile(r"(-?\d+)(?:-(-?\d+))?", re.ASCII)
_FAMILIES = {kind.partition(".")[0] for kind in KINDS if "." in kind}


class Selectable(Protocol):
    """What patterns look at: a site, or a layer that is to become one."""

    @property
    def name(self) -> str:
        """The MatMul's."""

    @property
    def kind(self) -> str:
        """One of KINDS."""

    @property
    def layer(self) -> int | None:
        """The block's number, None outside of blocks."""


_Site = TypeVar("_Site", bound=Selectable)


@dataclass(frozen=True)
class Selector:
    """One pattern of the grammar.

    Raises:
        SettingsError: for a pattern that cannot be read, with the likeliest correction.
    """

    pattern: str

    def __post_init__(self) -> None:
        if not self.pattern:
            raise SettingsError("a pattern is empty; write a site's name, re:..., kind:... or layer:...")
        for part in self._parts():
            _check(part, self.pattern)

    def matches(self, site: Selectable, blocks: int) -> bool:
        """Whether `site` of a model with this number of blocks is one of those picked."""
        return all(_matches(part, site, blocks) for part in self._parts())

    @property
    def is_name(self) -> bool:
        """Whether the pattern is the name of a site."""
        return self.pattern.partition(":")[0] not in _PREFIXES

    def _parts(self) -> list[str]:
        """Kinds and layers can be combined; a name or an expression may hold any character."""
        combined = self.pattern.startswith(("kind:", "layer:"))
        return self.pattern.split("+") if combined else [self.pattern]


def _check(part: str, pattern: str) -> None:
    prefix, _, rest = part.partition(":")
    if part != pattern and prefix not in ("kind", "layer"):
        raise SettingsError(f"pattern {pattern!r}: only kind:... and layer:... can be combined with +")
    if prefix == "re":
        try:
            re.compile(rest)
        except re.error as error:
            raise SettingsError(f"pattern {pattern!r}: {error}") from error
    elif prefix == "kind" and rest not in KINDS and rest not in _FAMILIES:
        near = near_choice(rest, KINDS)
        hint = f"; did you mean kind:{near}?" if near else ""
        raise SettingsError(f"pattern {pattern!r}: no such kind; the kinds are {', '.join(KINDS)}{hint}")
    elif prefix == "layer" and not _LAYERS.fullmatch(rest):
        raise SettingsError(f"pattern {pattern!r}: write a block as layer:3, several as layer:0-5 or layer:-4--1")


def _matches(part: str, site: Selectable, blocks: int) -> bool:
    prefix, _, rest = part.partition(":")
    if prefix == "re":
        return re.fullmatch(rest, site.name) is not None
    if prefix == "kind":
        return site.kind == rest or site.kind.partition(".")[0] == rest
    if prefix == "layer":
        return site.layer is not None and site.layer in _layers(rest, blocks)  # None would be looked for in all
    return site.name == part


def _layers(text: str, blocks: int) -> range:
    """The blocks of `3`, `0-5` or `-4--1`, of which the last are those before the end of the model."""
    found = _LAYERS.fullmatch(text)
    if found is None:
        return range(0)
    first, last = (int(number) + (blocks if number[0] == "-" else 0) for number in (found[1], found[2] or found[1]))
    return range(max(first, 0), last + 1)


class Candidates(Generic[_Site]):
    """Sites that many patterns are tried on: those of exact names are looked up."""

    def __init__(self, sites: Sequence[_Site]) -> None:
        self._sites = sites
        self._blocks = 1 + max((site.layer for site in sites if site.layer is not None), default=-1)
        self._by_name: dict[str, list[_Site]] = defaultdict(list)
        for site in sites:
            self._by_name[site.name].append(site)

    def matching(self, pattern: str) -> list[_Site]:
        """The sites that a pattern picks, none allowed.

        Raises:
            SettingsError: for a pattern that cannot be read.
        """
        selector = Selector(pattern)
        if selector.is_name:
            return list(self._by_name.get(pattern, ()))
        return [site for site in self._sites if selector.matches(site, self._blocks)]

    def select(self, pattern: str) -> list[_Site]:
        """The sites that a pattern picks.

        Raises:
            SettingsError: where it picks none, listing near misses.
        """
        chosen = self.matching(pattern)
        if not chosen:
            raise SettingsError(f"pattern {pattern!r} matches no site{_near_misses(self._sites, pattern)}")
        return chosen


def select(sites: Sequence[_Site], pattern: str) -> list[_Site]:
    """The sites that `pattern` picks.

    Raises:
        SettingsError: if it picks none, listing near misses.
    """
    return Candidates(sites).select(pattern)


def _near_misses(sites: Iterable[Selectable], pattern: str) -> str:
    names = [site.name for site in sites]
    kinds = sorted({f"kind:{site.kind}" for site in sites})
    layers = sorted({site.layer for site in sites if site.layer is not None})
    blocks = [f"layer:{layers[0]}-{layers[-1]}"] if layers else []
    if pattern.startswith("kind:"):
        near = kinds
    elif pattern.startswith("layer:"):
        near = blocks
    else:
        near = _near_names(names, pattern)
        near += [f"kind:{word}" for word in _words(sites) if word == pattern.casefold()]
    near = near or [*names[:2], *kinds[:2], *blocks]
    return f"; there are {', '.join(near)}" if near else "; the model has no compressed MatMul"


def _words(sites: Iterable[Selectable]) -> set[str]:
    """What can follow kind: in this model."""
    kinds = {site.kind for site in sites}
    return kinds | {kind.partition(".")[0] for kind in kinds}


def _near_names(names: Sequence[str], pattern: str) -> list[str]:
    """Of names that have the text in them an expression for all and some of them, else those most like it."""
    text = pattern.removeprefix("re:")
    if text != pattern:
        parts = [name for name in names if re.search(text, name)]
    else:
        parts = [name for name in names if text.casefold() in name.casefold()]
        text = f"(?i:{re.escape(text)})" if text not in "".join(parts) else re.escape(text)
    if parts:
        return [f"re:.*{text}.* ({counted(len(parts), 'site')})", *parts[:_SHOWN]]
    return difflib.get_close_matches(text, names, n=_SHOWN, cutoff=0.3)
