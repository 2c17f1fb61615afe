"""Random edits: of the elements of an XML file, of plain data, and of bytes."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from html import unescape
from random import Random
from typing import Any
from xml.sax.saxutils import quoteattr

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
_WORDS = (
    *("native", "int8", "emulate", "quantize", "exempt", "skip", "auto", "rank-4", "precise", "per-token", "cpu", "u8"),
    *("arc-b580", "kind:mlp.down", "layer:0", "layer:0-99999999999", "re:.*", "re:(", "mlp.down", "lm_head"),
)
"""What settings, plans and notes know, if not everywhere."""
_JSON = re.compile(r'="(\{&quot;[^"]*)"')
_ATTRIBUTE = re.compile(r'="[^"<]*"')
_ELEMENT = re.compile(r"<(?:layer|edge|port|data|dim|rt_info|input|output)\b[^>]*?(?:/>|>)")
_BLOCK = re.compile(r"<(layer|port|input|output|rt_info)\b[^>]*>.*?</\1>", re.DOTALL)


def edit_xml(text: str, rng: Random) -> str:
    """One edit, now and then more, of attributes, of JSON in them, of elements or of the length."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        text = rng.choice((_attribute, _attribute, _json, _element, _block, _moved, _cut))(text, rng)
    return text


def edit_data(data: Any, rng: Random) -> Any:
    """A copy of plain data with one value or key, now and then more, changed, taken out or repeated."""
    data = deepcopy(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
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


def _json(text: str, rng: Random) -> str:
    """Of what ovpass noted in the model."""
    found = list(_JSON.finditer(text))
    if not found:
        return text
    place = rng.choice(found)
    other = json.dumps(edit_data(json.loads(unescape(place[1])), rng))
    return f"{text[: place.start()]}={quoteattr(other)}{text[place.end() :]}"


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
    how = rng.randrange(6)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, list):
        parent.insert(key, deepcopy(parent[key]))
    elif how == 1:
        parent[f"{key}x"] = parent.pop(key)
    elif how == 2:
        parent[key] = deepcopy(rng.choice(list(parent.values()) if isinstance(parent, dict) else parent))
    elif how == 3:
        parent[key] = _like(parent[key], rng)
    else:
        parent[key] = deepcopy(rng.choice(_ODD_VALUES))


def _like(value: Any, rng: Random) -> Any:
    """Another value of the same type: it gets further than one of another type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((0, 1, -value, value + 1, value // 2, 2 * value, 2**31, 2**63))
    if isinstance(value, float):
        return rng.choice((0.0, -value, value / 3, 1e-320, 1e308, float("nan"), float("inf")))
    return rng.choice(_WORDS)
