"""Locate the constants of an IR in its .bin from the .xml, without reading weights."""

from __future__ import annotations

import mmap
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

_CONSTANT = re.compile(
    r'<layer((?:\s+[\w:]+="[^"]*")+)\s*>\s*<data((?:\s+[\w:]+="[^"]*")+)\s*/?>',
)
_ATTRIBUTE = re.compile(r'([\w:]+)="([^"]*)"')
_SMALL = 64
_PIECE = 1 << 20
_LONGEST = 1 << 22
_LAYER = "<layer"


@dataclass(frozen=True)
class ConstantLocation:
    """`size` bytes at `offset` of a .bin, read as `shape` elements of `element_type`."""

    offset: int
    size: int
    element_type: str
    shape: tuple[int, ...]


class ConstantTable:
    """The constants of one IR by name, and the small ones by content.

    A constant that the table misses is only written once more: nothing depends on its being complete.
    """

    def __init__(self, xml: Path, weights: Path) -> None:
        with weights.open("rb") as stream:
            self._weights = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if weights.stat().st_size else b""
        self._by_name: dict[str, list[ConstantLocation]] = defaultdict(list)
        self._by_content: dict[bytes, int] | None = None
        for layer, data in _layers_with_data(xml):
            if 'type="Const"' in layer:
                attributes = dict(_ATTRIBUTE.findall(layer))
                location = _location(dict(_ATTRIBUTE.findall(data)))
                if location is not None and "name" in attributes:
                    self.add(unescape(attributes["name"]), location)

    def add(self, name: str, location: ConstantLocation) -> None:
        """Make a further constant known under `name`."""
        self._by_name[name].append(location)

    def unique(self, name: str) -> ConstantLocation | None:
        """The slot of a constant whose name occurs once."""
        slots = self._by_name.get(name, [])
        return slots[0] if len(slots) == 1 else None

    def holding(self, name: str, content: bytes) -> int | None:
        """The offset of these very bytes: under that name, or, for a few bytes, anywhere."""
        for location in self._by_name.get(name, []):
            if location.size == len(content) and self._read(location.offset, location.size) == content:
                return location.offset
        if len(content) > _SMALL:
            return None
        if self._by_content is None:
            self._by_content = self._index_small()
        return self._by_content.get(content)

    def _index_small(self) -> dict[bytes, int]:
        slots = {
            location.offset: location
            for slots in self._by_name.values()
            for location in slots
            if location.size <= _SMALL
        }
        return {self._read(location.offset, location.size): location.offset for location in slots.values()}

    def _read(self, offset: int, size: int) -> bytes:
        return self._weights[offset : offset + size]


def _layers_with_data(xml: Path) -> Iterator[tuple[str, str]]:
    """The attributes of every layer and its data, bodies included; the text is read in pieces."""
    rest = ""
    with xml.open(encoding="utf-8") as stream:
        while piece := stream.read(_PIECE):
            rest += piece
            last = rest.rfind(_LAYER)
            cut = last if last > 0 else len(rest) if len(rest) > _LONGEST else 0  # the edges are long, and have none
            yield from _groups(rest[:cut])
            rest = rest[cut:]
    yield from _groups(rest)


def _groups(text: str) -> Iterator[tuple[str, str]]:
    return ((found[1], found[2]) for found in _CONSTANT.finditer(text))


def _location(data: dict[str, str]) -> ConstantLocation | None:
    try:
        shape = tuple(int(dimension) for dimension in data.get("shape", "").split(",") if dimension.strip())
        return ConstantLocation(int(data["offset"]), int(data["size"]), data["element_type"], shape)
    except (KeyError, ValueError):
        return None
