"""Between formats of keys and values and the runtime options with which a target's plugin stores them so."""

from __future__ import annotations

from collections.abc import Mapping

from ovpass.errors import SettingsError
from ovpass.settings.kv_cache import FLOATS, CacheFormat
from ovpass.settings.settings import Settings
from ovpass.targets import Target
from ovpass.targets.kv_storage import KvStorage
from ovpass.targets.runtime_options import CACHE_OPTIONS, KEY_CACHE, KEY_GROUP, KV_CACHE, VALUE_CACHE, VALUE_GROUP


def storage_of(target: Target) -> KvStorage:
    """What the plugin stores.

    Raises:
        SettingsError: if that is not known.
    """
    if target.kv_storage is None:
        raise SettingsError(f"{target.name}: it is not known how its plugin stores keys and values")
    return target.kv_storage


def stored_by(target: Target, key: CacheFormat, value: CacheFormat) -> bool:
    """Whether the target's plugin can store keys and values like that."""
    storage = storage_of(target)
    if any(each.element_type not in storage.types or each.window for each in (key, value)):
        return False
    return storage.apart or (key == value and key.group_size is None)


def cache_options(target: Target, key: CacheFormat, value: CacheFormat) -> dict[str, str]:
    """The runtime options for it."""
    if not storage_of(target).apart:
        return {KV_CACHE: key.element_type}
    groups = {KEY_GROUP: key.group_size, VALUE_GROUP: value.group_size}
    return {
        KEY_CACHE: key.element_type,
        VALUE_CACHE: value.element_type,
        **{name: str(size) for name, size in groups.items() if size},
    }


def asked_cache(settings: Settings) -> dict[str, str]:
    """The runtime options of settings that say how keys and values are stored."""
    return {name: settings.runtime_options[name] for name in CACHE_OPTIONS if name in settings.runtime_options}


def emulated_cache(target: Target, options: Mapping[str, str]) -> dict[str, CacheFormat]:
    """What the target's plugin makes of runtime options, by "kv_key" and "kv_value"; nothing for floating point.

    One that does not store an integer type which it is asked for takes its own.
    """
    both, storage = options.get(KV_CACHE), storage_of(target)
    asked = {
        "kv_key": (options.get(KEY_CACHE, both), options.get(KEY_GROUP)),
        "kv_value": (options.get(VALUE_CACHE, both), options.get(VALUE_GROUP)),
    }
    return {
        name: CacheFormat(kind if kind in storage.integers else storage.integers[0], int(group or 0) or None)
        for name, (kind, group) in asked.items()
        if kind is not None and kind not in FLOATS
    }


def check_stored(target: Target, chosen: CacheFormat, where: str) -> None:
    """Refuse a type that other plugins store, and this one does not.

    Raises:
        SettingsError: naming what it does store.
    """
    storage = storage_of(target)
    kind = chosen.element_type
    of_plugins = kind in FLOATS or kind in ("u8", "i8", "u4")
    if of_plugins and chosen.window is None and kind not in storage.types:
        raise SettingsError(f"{where}: {target.name} does not store {kind}; use {', '.join(storage.types)}")
    if kind in storage.integers and chosen.group_size and not storage.apart:
        raise SettingsError(f"{where}: {target.name} stores one scale a head; use {kind} alone")
