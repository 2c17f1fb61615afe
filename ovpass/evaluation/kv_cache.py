"""KV cache settings of a candidate, a device's or emulated, and the chunks that windows are fed in to measure them.

A window in one piece writes the cache and never reads it: attention uses keys and values as computed, whatever type the
cache has. From the second chunk on, a model reads what the device stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from ovpass.errors import SettingsError
from ovpass.ir.files import IrFile
from ovpass.ir.metadata import Metadata
from ovpass.ir.runtime_options import read_option
from ovpass.settings.kv_cache import CacheFormat
from ovpass.targets.runtime_options import BY_CHANNEL, CACHE_OPTIONS, KEY_CACHE, KEY_MODE, KV_CACHE, VALUE_CACHE

CHUNK_TOKENS = 32
"""Tokens of a piece if the user names none: short, so that most of the text is read from the cache."""

_EXACT = "f32"
_CRASHES_BY_CHANNEL = "u4"
"""Measured on OpenVINO 2026.4: SIGSEGV, or SIGABRT for a double free, when a state is read."""
_FLOATS = ("f32", "f16", "bf16")


def cache_settings(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties that change what the cache keeps; none if it keeps f32."""
    named = {name: properties[name] for name in CACHE_OPTIONS if name in properties}
    if KEY_CACHE in named and VALUE_CACHE in named:
        named.pop(KV_CACHE, None)  # it holds where the others say nothing
    return {} if all(value == _EXACT for value in named.values()) else named


def cache_settings_of(metadata: Metadata) -> dict[str, str]:
    """Those that the IR itself asks for; floating-point caches, which exporters ask for by default, do not count."""
    named = {name: value for name in CACHE_OPTIONS if (value := read_option(metadata, name)) is not None}
    return {} if all(value.lower() in _FLOATS for value in named.values()) else named


def exact_cache(properties: Mapping[str, str]) -> dict[str, str]:
    """The same properties with a cache in f32."""
    return {**{name: value for name, value in properties.items() if name not in CACHE_OPTIONS}, KV_CACHE: _EXACT}


def emulated_settings(formats: Mapping[str, CacheFormat]) -> dict[str, str]:
    """The formats of an emulated cache as settings."""
    return {name: str(chosen) for name, chosen in formats.items()}


def check_emulated(
    formats: Mapping[str, CacheFormat], properties: Mapping[str, str], label: str, tokens: int | None
) -> None:
    """Make sure that an emulated cache can have an effect on texts of `tokens` tokens, None if that is not known.

    Raises:
        SettingsError: beside a cache of the device's, which such a model does not use, and for windows that never fill.
    """
    if formats and (own := cache_settings(properties)):
        raise SettingsError(
            f"{label}: {', '.join(formats)} emulate the KV cache, so {', '.join(own)} has no effect; leave one out"
        )
    for name, chosen in formats.items():
        if chosen.window is not None and tokens is not None and chosen.window > tokens:
            raise SettingsError(
                f"{label}: texts of {tokens} tokens never fill a window of {chosen.window} ({name}); use a smaller "
                "window, or longer texts (--window-tokens)"
            )


def require_cache(ir: IrFile, settings: Mapping[str, str], label: str) -> None:
    """Make sure that the model keeps a KV cache as a state, which plugins read in the type that is asked for.

    Raises:
        SettingsError: if it does not, and for keys that end the process of the CPU plugin.
    """
    keys = settings.get(KEY_CACHE, settings.get(KV_CACHE))
    if keys == _CRASHES_BY_CHANNEL and settings.get(KEY_MODE) == BY_CHANNEL:
        raise SettingsError(f"{label}: keys in {keys} by channel crash the CPU plugin; take {KEY_MODE}=BY_TOKEN, or u8")
    if settings and "ReadValue" not in ir.document().graph.types:
        raise SettingsError(f"{label}: has no KV cache state, so {', '.join(settings)} has no effect; leave it out")


def chunk_tokens(asked: int | None, settings: Mapping[str, str], threshold: int) -> int | None:
    """Tokens of a piece; None to feed windows in one go.

    `threshold` is the number of tokens up to which no activation is quantized: pieces are longer, so that both count.
    """
    if asked is not None or not settings:
        return asked
    return max(CHUNK_TOKENS, 2 * threshold)


def describe_cache(settings: Mapping[str, str], chunk: int | None) -> str:
    """In words, to follow what else is known of a candidate."""
    kept = f", {', '.join(f'{name}={value}' for name, value in settings.items())}" if settings else ""
    return kept + (f", fed in chunks of {chunk} tokens" if chunk else "")
