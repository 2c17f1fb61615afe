"""The KV cache that tune chooses beside the plan: which models have one, and what was chosen in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovpass.errors import SettingsError
from ovpass.ir.files import open_source


def check_has_cache(model: Path, *, predicts_tokens: bool) -> None:
    """Make sure that a KV cache can be chosen for a model.

    Raises:
        SettingsError: if it has none, or is not a single language model.
    """
    if not predicts_tokens:
        raise SettingsError(f"{model}: --kv needs a single language model; leave it out")
    from ovpass.tuning.kv_candidates import caches_of  # noqa: PLC0415 - not needed to print help

    caches_of(open_source(model).models[0])


def is_smaller(tuned: Mapping[str, Any]) -> bool:
    """Whether tune chose a cache that is smaller than one in f16; `tuned` is its JSON."""
    cache = tuned.get("kv_cache")
    return cache is not None and cache["chosen"]["bytes_per_token"] < cache["bytes_in_f16"]


def describe_chosen(tuned: Mapping[str, Any]) -> str | None:
    """What tune chose, with the bytes of a token; None if it was not asked to."""
    cache = tuned.get("kv_cache")
    if cache is None:
        return None
    chosen = cache["chosen"]
    size = f"{chosen['bytes_per_token']:.0f} bytes a token, in f16 {cache['bytes_in_f16']:.0f}"
    return f"keys {chosen['keys']}, values {chosen['values']}: {size}"
