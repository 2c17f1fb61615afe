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
FLOATS = {"f16": 16, "bf16": 16, "f32": 32}
"""Bits of types without a scale."""
_SIDE_BITS = {"u8": 32, "i8": 32, "u4": 32, "i4": 16, "mant4": 20, "mant4a": 36}
"""What a group has besides its codes: a scale, a zero point or middle in f16, and 4 bits of a coefficient."""
_GROUP = re.compile(r"(window-)?(\d+)")


@dataclass(frozen=True)
class CacheFormat:
    """How one of keys and values is stored.

    `element_type` is one of TYPES, or of FLOATS, which only plugins store. Without a window, each token has scales of
    its own, `group_size` elements of the head share one (None: all) and a token is quantized when it comes. With one,
    `window` tokens share a scale for each channel: a token is first stored as u8, and gets its final codes when its
    window is full.
    """

    element_type: str
    group_size: int | None = None
    window: int | None = None

    def bits(self, head: int, side_bits: int | None = None) -> float:
        """Bits of an element in heads of `head` elements; `side_bits` of a group, None for the least that it needs."""
        if self.element_type in FLOATS:
            return FLOATS[self.element_type]
        side = _SIDE_BITS[self.element_type] if side_bits is None else side_bits
        return int(self.element_type.strip("muiant")) + side / (self.window or self.group_size or head)

    def __str__(self) -> str:
        if self.window:
            return f"{self.element_type}:window-{self.window}"
        return self.element_type + (f":{self.group_size}" if self.group_size else "")


def parse_cache_format(name: str, text: str, *, types: tuple[str, ...] = TYPES) -> CacheFormat:
    """Read `TYPE`, `TYPE:GROUP` or `TYPE:window-TOKENS`; TYPE is one of `types`.

    Raises:
        SettingsError: naming the setting and what it can be.
    """
    kind, colon, rest = text.partition(":")
    check_choice(name, kind, types)
    if not colon:
        return CacheFormat(kind)
    found = None if kind in FLOATS else _GROUP.fullmatch(rest)
    if found is None or not 1 < int(found[2]) <= 4096:
        raise SettingsError(
            f"{name}={text}: {rest!r} is no group; use {kind}:32 for groups of 32 elements, or {kind}:window-32 for "
            "windows of 32 tokens"
        )
    size = int(found[2])
    return CacheFormat(kind, window=size) if found[1] else CacheFormat(kind, size)
