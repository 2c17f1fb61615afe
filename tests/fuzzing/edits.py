"""Random edits: of the elements of an XML file, of plain data, and of bytes."""

from __future__ import annotations

import re
from copy import deepcopy
from random import Random
from typing import Any

_ODD_TEXTS = (
    "",
    "0",
    "-1",
    "1e9",
    "nan",
    "9" * 5000,
    "x",
    "?",
    "1,2",
    "\x00",
    "ä" * 300,
    "18446744073709551616",
    "true",
)
_ODD_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1e308, 2**70, "", "x", [], {}, ["x"], {"x": 1}, [[[]]], "per-token")
_ATTRIBUTE = re.compile(r'="[^"<]*"')
_ELEMENT = re.compile(r"<(?:layer|edge|port|data|dim|rt_info|input|output)\b[^>]*?(?:/>|>)")
_BLOCK = re.compile(r"<(layer|port|input|output|rt_info)\b[^>]*>.*?</\1>", re.DOTALL)


def edit_xml(text: str, rng: Random) -> str:
    """One to three edits of attributes, elements and length."""
    for _ in range(rng.randint(1, 3)):
        text = rng.choice((_attribute, _attribute, _element, _block, _moved, _cut))(text, rng)
    return text


def edit_data(data: Any, rng: Random) -> Any:
    """A copy of plain data with one to three values or keys changed, taken out or repeated."""
    data = deepcopy(data)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(data))
        if not places:
            return rng.choice(_ODD_VALUES)
        parent, key = rng.choice(places)
        if key not in (parent if isinstance(parent, dict) else range(len(parent))):
            continue
        _edit_place(parent, key, rng)
    return data


def edit_bytes(content: bytes, rng: Random, within: int | None = None) -> bytes:
    """Some bytes flipped, or the end cut off; `within` the first bytes only."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(min(within or len(changed), len(changed)))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.2 else changed)


def _attribute(text: str, rng: Random) -> str:
    found = list(_ATTRIBUTE.finditer(text))
    if not found:
        return text
    place = rng.choice(found)
    other = rng.choice((rng.choice(_ODD_TEXTS), rng.choice(found)[0][2:-1]))
    return f'{text[: place.start()]}="{other}"{text[place.end() :]}'


def _element(text: str, rng: Random) -> str:
    found = list(_ELEMENT.finditer(text))
    place = rng.choice(found) if found else None
    return text if place is None else text[: place.start()] + text[place.end() :]


def _block(text: str, rng: Random) -> str:
    """An element with all in it is gone, or there twice."""
    found = list(_BLOCK.finditer(text))
    if not found:
        return text
    place = rng.choice(found)
    return text[: place.start()] + place[0] * rng.choice((0, 2)) + text[place.end() :]


def _moved(text: str, rng: Random) -> str:
    found = list(_BLOCK.finditer(text))
    if not found:
        return text
    place, other = rng.choice(found), rng.choice(found)
    rest = text[: place.start()] + text[place.end() :]
    return rest[: other.start()] + place[0] + rest[other.start() :]


def _cut(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text))] if text and rng.random() < 0.2 else text


def _places(data: Any) -> Any:
    """Every `(container, key)` below `data`."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from _places(data[key])


def _edit_place(parent: Any, key: Any, rng: Random) -> None:
    how = rng.randrange(4)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, list):
        parent.insert(key, deepcopy(parent[key]))
    elif how == 1:
        parent[f"{key}x"] = parent.pop(key)
    else:
        parent[key] = deepcopy(rng.choice(_ODD_VALUES))
