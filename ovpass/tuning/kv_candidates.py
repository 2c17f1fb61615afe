"""The ways to store keys and values that a search measures, and the bytes that a token takes in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from ovpass.errors import PassError, SettingsError
from ovpass.ir.files import IrFile
from ovpass.passes.kv_caches import KEY, KvCache, find_kv_caches
from ovpass.planning.cache_options import cache_options, check_stored, storage_of, stored_by
from ovpass.settings.kv_cache import FLOATS, TYPES, CacheFormat, parse_cache_format
from ovpass.targets import Target

AUTO = "auto"
_GROUPS = (32, 16)
"""Of the elements of a head in 4 bits: with 8 bits, smaller groups gain nothing that is worth their scales."""


@dataclass(frozen=True)
class CacheKind:
    """Formats of keys and values, and the bytes of a token in all layers.

    `options` are the runtime options with which the target's plugin stores them so; None if it cannot.
    """

    key: CacheFormat
    value: CacheFormat
    bytes_per_token: float
    options: Mapping[str, str] | None = field(hash=False)

    @property
    def emulated(self) -> dict[str, CacheFormat]:
        """The formats to emulate, by their names in a candidate; floating point is exact."""
        formats = {"kv_key": self.key, "kv_value": self.value}
        return {name: each for name, each in formats.items() if each.element_type not in FLOATS}

    @property
    def exact(self) -> bool:
        """Whether there is nothing to emulate."""
        return not self.emulated

    def __str__(self) -> str:
        return f"keys {self.key}, values {self.value}"


def cache_kinds(target: Target, caches: Sequence[KvCache], asked: str) -> list[CacheKind]:
    """Those that `asked` names by comma, "auto" for all that the target stores; the smallest first.

    The floating-point types of the target come last, so that one of them always holds a budget.

    Raises:
        SettingsError: for a type that the target does not store, and that is not emulated either.
        PassError: if the size of a head is not known.
    """
    storage = storage_of(target)
    heads = {cache.head_size for cache in caches}
    formats = [
        each for text in _named(asked) for each in (_all(target, heads) if text == AUTO else [_parsed(target, text)])
    ]
    floats = [CacheFormat(kind) for kind in storage.floats]
    pairs = [*product(formats, formats), *((each, each) for each in floats)]
    found = {}
    for key, value in pairs:
        stored = stored_by(target, key, value)
        if stored or key == value:
            options = cache_options(target, key, value) if stored else None
            side_bits = 8 * storage.group_bytes if stored else None
            size = sum(_bytes(cache, key if cache.what == KEY else value, side_bits) for cache in caches)
            found[key, value] = CacheKind(key, value, size, options)
    return sorted(found.values(), key=lambda kind: kind.bytes_per_token)


def check_kinds(target: Target, asked: str) -> None:
    """Make sure that `cache_kinds` takes what is asked for, without a model.

    Raises:
        SettingsError: as `cache_kinds`.
    """
    storage_of(target)
    for text in _named(asked):
        if text != AUTO:
            _parsed(target, text)


def caches_of(ir: IrFile) -> list[KvCache]:
    """The KV caches of a model.

    Raises:
        SettingsError: if it has none that are known.
    """
    try:
        return find_kv_caches(ir.read())
    except PassError as error:
        raise SettingsError(f"{ir.xml}: --kv: {error}; leave --kv out") from error


def _named(asked: str) -> list[str]:
    return [text.strip() for text in asked.split(",")]


def _all(target: Target, heads: set[int]) -> list[CacheFormat]:
    storage = storage_of(target)
    groups = [size for size in _GROUPS if storage.apart and all(head % size == 0 and head > size for head in heads)]
    small = [CacheFormat(kind, size) for kind in storage.integers if kind.endswith("4") for size in groups]
    return [*map(CacheFormat, storage.integers), *small]


def _parsed(target: Target, text: str) -> CacheFormat:
    if not text:
        raise SettingsError(f"--kv: name types by comma, such as u8,u4, or {AUTO}")
    chosen = parse_cache_format("--kv", text, types=(*TYPES, *FLOATS))
    check_stored(target, chosen, "--kv")
    return chosen


def _bytes(cache: KvCache, chosen: CacheFormat, side_bits: int | None) -> float:
    return cache.heads * cache.head_size * chosen.bits(cache.head_size, side_bits) / 8
