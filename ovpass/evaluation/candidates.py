"""Candidates of an evaluation: a model as it is, or `MODEL@setting,setting`, changed in memory.

smollm2                                 as it is
smollm2@per-token                       per token, as on an Intel GPU with XMX
smollm2@group_size=32,profile=cpu       groups of 32, as in the CPU plugin
smollm2@group_size=64,profile=none      groups of 64 at every site, without a device's rules
smollm2@profile=cpu                     the CPU plugin's default
smollm2@exempt=kind:mlp.down            any of the settings; exempt can repeat
smollm2@plan=plan.yaml                  a plan of 'ovpass plan' or 'ovpass tune'
smollm2@kv_key=u8,kv_value=u4           keys and values as read from a KV cache of those types, emulated
smollm2@kv_value=mant4:window-32        the same in M-ANT, 32 tokens of a channel with one scale
smollm2@DYNAMIC_QUANTIZATION_GROUP_SIZE=32   the plugin's own quantization: names in capitals are compile properties
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ovpass.errors import RenamedWarning, SettingsError
from ovpass.settings.kv_cache import CacheFormat, parse_cache_format
from ovpass.settings.model_argument import split_model
from ovpass.settings.settings import Rule, Settings, settings_from_dict
from ovpass.support.choices import near_choice
from ovpass.targets.group_sizes import parse_model_group_size
from ovpass.targets.names import find_name

NO_PROFILE = "none"
_OLDER_XMX = "gpu"
"""Of profiles it meant the one with XMX, of targets the one without."""
_CACHES = ("kv_key", "kv_value")
_KEYS = (*(f.name for f in fields(Settings) if f.name != "rules"), "exempt", "profile", "plan", *_CACHES)
_NUMBERS = ("threshold", "axis", "at_tokens")
_FLAGS = ("symmetric", "requantize", "only_if_faster")


@dataclass(frozen=True)
class Candidate:
    """One model with what is to be done to it; `label` is as the user wrote it.

    `settings` are None for a model as it is. `profile` is the target whose rules are emulated, None to emulate the
    settings to the letter. `properties` go to compile_model. `cache` is a KV cache to emulate: how keys ("kv_key") and
    values ("kv_value") are stored.
    """

    label: str
    path: Path
    settings: Settings | None = None
    plan: Path | None = None
    profile: str | None = "gpu-xmx"
    properties: Mapping[str, str] = field(default_factory=dict)
    cache: Mapping[str, CacheFormat] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether activations are quantized in memory."""
        return self.settings is not None or self.plan is not None

    @property
    def plain(self) -> bool:
        """Whether a model was named and nothing else."""
        return not self.changed and not self.properties and not self.cache


def parse_candidate(text: str, profile: str = "gpu-xmx") -> Candidate:
    """Read `MODEL` or `MODEL@setting,setting`; `profile` is the one of candidates that name none.

    Raises:
        SettingsError: naming the candidate and the setting that is wrong.
    """
    path, settings = split_model(text)
    if settings is None:
        return Candidate(text, path, profile=profile_target(profile))
    try:
        return _structure(text, path, settings, profile)
    except SettingsError as error:
        raise SettingsError(f"{text}: {error}") from error


def _structure(label: str, path: Path, rest: str, profile: str) -> Candidate:
    values: dict[str, Any] = {}
    exempt: list[Rule] = []
    properties: dict[str, str] = {}
    cache: dict[str, CacheFormat] = {}
    items = [part.strip() for part in rest.split(",") if part.strip()]
    if not items:
        raise SettingsError("no setting follows the @; write only the model to evaluate it as it is")
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            values["group_size"] = parse_model_group_size(item)
        elif key.isupper():
            properties[key] = value
        elif key in _CACHES:
            cache[key] = parse_cache_format(key, value)
        elif key == "exempt":
            exempt.append(Rule(match=value, exempt=True))
        else:
            values[key] = _value(_known(key), value)
    plan = values.pop("plan", None)
    asked = plan is None and bool(values or exempt)
    chosen = profile_target(values.pop("profile", profile))
    if plan is not None and (values or exempt):
        raise SettingsError("a plan holds all settings; write plan=FILE alone, or with a profile and properties")
    if chosen is not None and "target" not in values:
        values["target"] = chosen
    settings = settings_from_dict({**values, "rules": []}) if asked else None
    if settings is not None:
        settings = _with_rules(settings, exempt, chosen)
    return Candidate(label, path, settings, None if plan is None else Path(plan), chosen, properties, cache)


def _with_rules(settings: Settings, rules: list[Rule], profile: str | None) -> Settings:
    if settings.lowering == "native" and profile is None:
        settings = replace(settings, lowering="emulate", threshold=settings.threshold or 0)
    return replace(settings, rules=tuple(rules))


def _known(key: str) -> str:
    if key not in _KEYS:
        near = near_choice(key, _KEYS)
        hint = f"did you mean {near!r}?" if near else f"the settings are {', '.join(_KEYS)}"
        raise SettingsError(f"setting {key!r} is unknown; {hint}")
    return key


def _value(key: str, value: str) -> Any:
    if key in _NUMBERS:
        try:
            return int(value)
        except ValueError:
            raise SettingsError(f"{key}={value}: is not a whole number") from None
    if key in _FLAGS:
        if value not in ("true", "false"):
            raise SettingsError(f"{key}={value}: is neither true nor false")
        return value == "true"
    return value


def profile_target(name: str) -> str | None:
    """The target or device that a profile follows; None for the profile that follows no device.

    Raises:
        SettingsError: for a name that is none.
    """
    if name == NO_PROFILE:
        return None
    if name == _OLDER_XMX:
        warnings.warn(f"profile {name} is now called gpu-xmx", RenamedWarning, stacklevel=2)
        return "gpu-xmx"
    return find_name(name, "profile").name
