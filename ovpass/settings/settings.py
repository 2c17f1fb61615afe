"""Settings and Rules, validated, from flags, YAML, JSON or Python."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ovpass.errors import SettingsError
from ovpass.settings.lowerings import LOWERINGS
from ovpass.settings.selection import Selector
from ovpass.support.choices import check_choice, near_choice
from ovpass.support.garbage import collection_paused
from ovpass.support.structured_text import MalformedError, parse_yaml, read_text
from ovpass.targets.group_sizes import format_group_size, parse_group_size, parse_model_group_size
from ovpass.targets.names import find_name
from ovpass.targets.runtime_options import check_runtime_options

_LOGGER = logging.getLogger(__name__)

EXEMPTIONS = ("auto", "rank-4", "precise", "f16-zero-point", "f16-weights")
AT_TOKENS = 512
_PLAIN: Mapping[str, tuple[type, str]] = {"bool": (bool, "True or False"), "int": (int, "a whole number")}
_MOST_TOKENS = 2**63 - 1
_OF_PLANS = {"decisions", "models"}


@dataclass(frozen=True)
class Rule:
    """Settings for the sites that `match` selects. None is the general setting. The first matching rule decides.

    Raises:
        SettingsError: for an invalid rule. It names the rule and the problem.
    """

    match: str
    exempt: bool = False
    group_size: int | None = None
    threshold: int | None = None
    axis: int | None = None
    symmetric: bool | None = None

    def __post_init__(self) -> None:
        where = f"rule {self.match!r}"
        if not isinstance(self.match, str):
            raise SettingsError(f"{where}: match: expected a pattern, found {self.match!r}")
        Selector(self.match)
        _check_types(where, self)
        quantizer = (self.group_size, self.threshold, self.axis, self.symmetric)
        if self.exempt and any(value is not None for value in quantizer):
            raise SettingsError(f"{where}: an exempt site takes no group_size, threshold, axis or symmetric")
        if not self.exempt and all(value is None for value in quantizer):
            raise SettingsError(f"{where} changes nothing; give it exempt: true or a setting")


@dataclass(frozen=True)
class Settings:
    """Settings for the sites of a model.

    `group_size` is the number of elements along the axis that share a scale, all with PER_TOKEN or "per-token". OFF or
    "off" quantizes only sites for which a rule has a group size. None is
    the target's default. Activations with more than `threshold` tokens are quantized. None is the target's default.
    `only_if_faster` skips sites that are not expected to be faster at `at_tokens` tokens. `runtime_options` are other
    plugin options to write into the IR, by name, with text or numbers as values.

    Raises:
        SettingsError: for an invalid setting. It names the setting.
    """

    group_size: int | None = None
    threshold: int | None = None
    axis: int = -1
    symmetric: bool = True
    lowering: str = "native"
    target: str = "gpu-xmx"
    exempt_with: str = "auto"
    requantize: bool = False
    only_if_faster: bool = False
    at_tokens: int = AT_TOKENS
    rules: tuple[Rule, ...] = ()
    runtime_options: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "runtime_options", check_runtime_options(self.runtime_options))
        object.__setattr__(self, "rules", as_rules(self.rules))
        _check_types("settings", self)
        check_choice("lowering", self.lowering, LOWERINGS)
        object.__setattr__(self, "target", find_name(self.target).name)
        check_choice("exempt_with", self.exempt_with, EXEMPTIONS)
        if self.requantize and self.lowering != "int8":
            raise SettingsError("requantize: only the int8 lowering re-quantizes weights")
        if self.at_tokens < 1:
            raise SettingsError(f"at_tokens {self.at_tokens}: take one or more")
        if self.at_tokens != AT_TOKENS and not self.only_if_faster:
            raise SettingsError("at_tokens has no effect without only_if_faster")


@collection_paused()
def load_settings(path: Path | str) -> Settings:
    """Read Settings from a YAML or JSON file.

    Raises:
        SettingsError: if the file is unreadable, or a key or value is invalid. It names the file and the key.
    """
    try:
        data = parse_yaml(read_text(path))
    except MalformedError as error:
        raise SettingsError(f"{path}: cannot be read as settings: {error}") from error
    _LOGGER.info("%s: read settings", path)
    if isinstance(data, dict) and _OF_PLANS & set(data):
        raise SettingsError(f"{path}: is a plan, which has its settings in it; give it with --plan")
    try:
        return settings_from_dict(data)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def settings_from_dict(data: object) -> Settings:
    """Build Settings from plain data, as YAML and JSON give it.

    Raises:
        SettingsError: for unknown keys and for values of the wrong type or range.
    """
    settings: Settings = structure(Settings, data)
    return settings


def settings_to_dict(settings: Settings | Rule) -> dict[str, Any]:
    """Plain data that `settings_from_dict` reads back; values at their default are left out."""
    plain: dict[str, Any] = {}
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if value in (entry.default, {}):
            continue
        if entry.name == "group_size":
            value = format_group_size(value)
        elif entry.name == "rules":
            value = [settings_to_dict(rule) for rule in value]
        plain[entry.name] = dict(value) if isinstance(value, dict) else value
    return plain


def structure(cls: type[Any], data: object) -> Any:
    """Build the dataclass `cls` from plain data, strictly.

    Raises:
        SettingsError: naming each key that is unknown or wrong.
    """
    import cattrs  # noqa: PLC0415 - not needed to print help

    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise SettingsError(f"expected keys and values, found {found}")
    if not isinstance(data.get("rules", []), (list, tuple)):
        raise SettingsError("rules: expected a list, each rule after a dash: - {match: PATTERN, exempt: true}")
    try:
        return _converter().structure(_with_group_size(data, cls), cls)
    except cattrs.BaseValidationError as error:
        raise SettingsError(_explain(error)) from error


@cache
def _converter() -> Any:
    """The one converter: making it takes longer than using it."""
    import cattrs  # noqa: PLC0415
    from cattrs.gen import make_dict_structure_fn  # noqa: PLC0415

    converter = cattrs.Converter(forbid_extra_keys=True)
    for scalar in (bool, str):
        converter.register_structure_hook(scalar, _strictly)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook_func(lambda kind: kind == Mapping[str, str], _mapping)
    rule_hook = make_dict_structure_fn(Rule, converter, _cattrs_forbid_extra_keys=True)
    converter.register_structure_hook(
        Rule, lambda value, _: rule_hook(_with_group_size(_mapping(value, Rule), Rule), Rule)
    )
    return converter


def _with_group_size(data: Any, cls: type[Any]) -> Any:
    if isinstance(data, dict) and data.get("group_size") is not None:
        parse = parse_group_size if cls is Rule else parse_model_group_size
        return {**data, "group_size": parse(data["group_size"])}
    return data


def _strictly(value: Any, expected: type[Any]) -> Any:
    if not isinstance(value, expected):
        raise ValueError(f"expected {expected.__name__}, found {value!r}")
    return value


def _integer(value: Any, _: type[Any]) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, found {value!r}")
    return value


def _mapping(value: Any, _: type[Any]) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"expected names and values, found {value!r}")
    return value


def _explain(error: Exception) -> str:
    """The library's findings as one line, with a near miss for a misspelt key."""
    import cattrs  # noqa: PLC0415

    settings_errors = _leaves(error, SettingsError)
    if settings_errors:
        return "; ".join(str(leaf) for leaf in settings_errors)
    messages = cattrs.transform_error(error, format_exception=_describe)
    text = "; ".join(message.removesuffix(" @ $") for message in messages)
    hints = [hint for leaf in _leaves(error, cattrs.ForbiddenExtraKeysError) for hint in _hints(leaf)]
    return "; ".join([text, *dict.fromkeys(hints)])


def _hints(error: Any) -> list[str]:
    """For each key that is not known what was meant by it, or all there are."""
    known = [field.name for field in dataclasses.fields(error.cl)]
    near = [near_choice(key, known) for key in sorted(error.extra_fields, key=str)]
    return [f"did you mean {key!r}?" if key else f"the keys are {', '.join(known)}" for key in near]


def _describe(error: BaseException, kind: type[Any] | None) -> str:
    """What the checks above say themselves names the value; the library's words would not."""
    from cattrs.v import format_exception  # noqa: PLC0415

    text = str(error)
    return text if isinstance(error, ValueError) and text.startswith("expected ") else format_exception(error, kind)


def _leaves(error: BaseException, kind: type[Any]) -> list[Any]:
    nested = getattr(error, "exceptions", None)
    if nested is None or isinstance(error, kind):
        return [error] if isinstance(error, kind) else []
    return [leaf for inner in nested for leaf in _leaves(inner, kind)]


def _check_types(where: str, settings: Settings | Rule) -> None:
    """Python lets anything in; a group size in words becomes its number."""
    if settings.group_size is not None:
        parse = parse_group_size if isinstance(settings, Rule) else parse_model_group_size
        object.__setattr__(settings, "group_size", parse(settings.group_size))
    for entry in dataclasses.fields(settings):
        value, kind = getattr(settings, entry.name), str(entry.type)
        plain, words = _PLAIN.get(kind.removesuffix(" | None"), (object, ""))
        left_out = value is None and kind.endswith("None")
        if not left_out and (not isinstance(value, plain) or (plain is int and isinstance(value, bool))):
            raise SettingsError(f"{where}: {entry.name}: expected {words}, found {value!r}")
    if settings.threshold is not None and settings.threshold < 0:
        raise SettingsError(f"{where}: threshold {settings.threshold} is negative; it counts tokens")
    if settings.threshold is not None and settings.threshold > _MOST_TOKENS:
        raise SettingsError(
            f"{where}: threshold {settings.threshold} is larger than {_MOST_TOKENS}; exempt sites to leave them"
        )


def as_rules(given: object) -> tuple[Rule, ...]:
    """One or more rules as a tuple.

    Raises:
        SettingsError: for anything else.
    """
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, Mapping)) else [given]
    rules = tuple(rule for rule in listed if isinstance(rule, Rule))
    if len(rules) < len(listed):
        odd = next(rule for rule in listed if not isinstance(rule, Rule))
        raise SettingsError(f"rules: expected one or more of Rule, found {odd!r}")
    return rules
