"""What the target of a plan does where the settings say nothing: its threshold, and how it keeps keys and values."""

from __future__ import annotations

from ovpass.settings.settings import Settings
from ovpass.targets.effective_options import describe_cache
from ovpass.targets.names import get_target
from ovpass.targets.runtime_options import CACHE_OPTIONS, OPTIONS


def threshold_of(settings: Settings) -> int:
    """The number of tokens up to which nothing is quantized."""
    if settings.lowering == "int8":
        return 0
    return get_target(settings.target).default_threshold if settings.threshold is None else settings.threshold


def cache_of(settings: Settings) -> str:
    """How keys and values are kept, with the plan's own runtime options as properties or in the IR."""
    target, given = get_target(settings.target), settings.runtime_options
    values = {}
    for name in CACHE_OPTIONS:
        if name in target.options:
            above = given.get(OPTIONS[name].parent or "", target.options[name].default)
            values[name] = given.get(name, above)
    return describe_cache(values)
