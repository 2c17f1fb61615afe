"""How keys and values are stored in a KV cache, as written in a candidate: `kv_key=u4`, `kv_value=mant4:window-32`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ovpass.errors import SettingsError
from ovpass.support.choices import check_choice

TYPES = ("u8", "i8", "u4", "i4", "mant4", "mant4a")
"""u8 and u4: from the least to the largest value, as the CPU plugin. i8: the same, as Intel GPUs. i4: symmetric.

mant4 is M-ANT, and mant4a M-ANT around the middle of the range.
"""
_GROUP = re.compile(r"(window-)?(\d+)")


@dataclass(frozen=True)
class CacheFormat:
    """How one of keys and values is stored.

    `element_type` is one of TYPES. Without a window, each token has scales of its own, `group_size` elements of the
    head share one (None: all) and a token is quantized when it comes. With one, `window` tokens share a scale for each
    channel: a token is first stored as u8, and gets its final codes when its window is full.
    """

    element_type: str
    group_size: int | None = None
    window: int | None = None

    def __str__(self) -> str:
        if self.window:
            return f"{self.element_type}:window-{self.window}"
        return self.element_type + (f":{self.group_size}" if self.group_size else "")


def parse_cache_format(name: str, text: str) -> CacheFormat:
    """Read `TYPE`, `TYPE:GROUP` or `TYPE:window-TOKENS`.

    Raises:
        SettingsError: naming the setting and what it can be.
    """
    kind, colon, rest = text.partition(":")
    check_choice(name, kind, TYPES)
    if not colon:
        return CacheFormat(kind)
    found = _GROUP.fullmatch(rest)
    if found is None or not 1 < int(found[2]) <= 4096:
        raise SettingsError(
            f"{name}={text}: {rest!r} is no group; use {kind}:32 for groups of 32 elements, or {kind}:window-32 for "
            "windows of 32 tokens"
        )
    size = int(found[2])
    return CacheFormat(kind, window=size) if found[1] else CacheFormat(kind, size)
