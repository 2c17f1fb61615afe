"""Find the effective value of a runtime option: environment, compile property, IR or default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ovpass.errors import SettingsError
from ovpass.ir.metadata import Metadata
from ovpass.ir.runtime_options import read_option
from ovpass.sites import CompressedMatMul
from ovpass.targets.base import Target
from ovpass.targets.runtime_options import (
    KEY_CACHE,
    KEY_GROUP,
    KEY_MODE,
    KV_CACHE,
    OPTIONS,
    VALUE_CACHE,
    VALUE_GROUP,
    KnownOption,
    Obedience,
)

MODE = "EXECUTION_MODE_HINT"
IR = "IR (rt_info/runtime_options)"
PROPERTY = "compile property"
_MODES = {"BY_CHANNEL": "by channel", "BY_TOKEN": "by token"}


@dataclass(frozen=True)
class Surroundings:
    """All that a device looks at: the IR, whether its model keeps a KV cache, compile properties, environment."""

    metadata: Metadata
    keeps_cache: bool
    properties: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def accuracy(self) -> bool:
        """Whether the execution mode is ACCURACY."""
        return self.properties.get(MODE, "").upper() == "ACCURACY"


@dataclass(frozen=True)
class InForce:
    """An option on a device: its value as text, who sets it, and in `steps` who is overruled or ignored.

    `default` tells that nobody has set the option itself.
    """

    name: str
    value: str
    source: str
    steps: tuple[str, ...] = ()
    default: bool = False


def options_in_force(target: Target, around: Surroundings) -> list[InForce]:
    """Every option that the target knows.

    Raises:
        SettingsError: for a value with which compile_model would throw.
    """
    return [in_force(option, target, around) for option in OPTIONS.values() if option.name in target.options]


def in_force(option: KnownOption, target: Target, around: Surroundings) -> InForce:
    """One option on a target that knows it.

    Raises:
        SettingsError: for a value with which compile_model would throw.
    """
    obedience = target.options[option.name]
    in_ir = read_option(around.metadata, option.name)
    heard = obedience.hears_ir(keeps_cache=around.keeps_cache)
    if in_ir is not None and heard and (target.strict_ir or option.name not in around.properties):
        in_ir = _read(option, in_ir, "the IR")
    said = list(_said(option, obedience, around, in_ir if heard else None))
    parent = OPTIONS[option.parent] if option.parent else None
    if said:
        value, source = said[0]
        default = False
    elif parent:
        above = in_force(parent, target, around)
        value, source, default = above.value, f"{parent.name}, {above.source}", True
    else:
        value, source, default = obedience.default, f"default of {target.name}", True
    steps = [f"{source} overrides {_saying(other, text)}" for text, other in said[1:]]
    if in_ir is not None and not heard:
        steps.append(f"{target.name} ignores {in_ir} from the IR{_way_out(obedience)}")
    return InForce(option.name, value, source, tuple(steps), default)


def describe_cache(values: Mapping[str, str]) -> str:
    """How keys and values are kept, in words, by the values of the options in force."""
    both = values[KV_CACHE]
    keys, kept = (values.get(name, both) for name in (KEY_CACHE, VALUE_CACHE))
    words = [f"keys and values in {keys}" if keys == kept else f"keys in {keys}, values in {kept}"]
    words += [f"keys {_MODES[mode]}" for mode in (values.get(KEY_MODE),) if mode in _MODES]
    words += [
        f"{what} in groups of {values[name]}"
        for what, name in (("keys", KEY_GROUP), ("values", VALUE_GROUP))
        if values.get(name, "0") != "0"
    ]
    return ", ".join(words)


def keeps_cache(sites: Sequence[CompressedMatMul]) -> bool:
    """Whether the model of these sites has a state, as decoders with a KV cache do."""
    return bool(sites) and "ReadValue" in sites[0].graph.types


def _way_out(obedience: Obedience) -> str:
    return "; compile with it as a property" if obedience.as_property else "; set the environment variable"


def _said(
    option: KnownOption, obedience: Obedience, around: Surroundings, in_ir: str | None
) -> Iterator[tuple[str, str]]:
    """Who says what, the one that counts first."""
    if obedience.as_variable and option.variable in around.environment:
        text = around.environment[option.variable]
        yield _read(option, text, "the environment"), f"environment variable {option.variable}"
    if obedience.as_property and option.name in around.properties:
        yield _read(option, around.properties[option.name], "the compile property"), PROPERTY
        if in_ir is not None:
            yield in_ir, IR
        return
    if option.parent and option.parent in around.properties:
        parent = OPTIONS[option.parent]
        yield _read(parent, around.properties[parent.name], "the compile property"), f"{PROPERTY} {parent.name}"
    if obedience.accuracy is not None and around.accuracy:
        yield obedience.accuracy, f"{MODE}=ACCURACY"
    if in_ir is not None:
        yield in_ir, IR


def _saying(source: str, text: str) -> str:
    return f"{text} from the {source}"


def _read(option: KnownOption, text: str, where: str) -> str:
    value = option.read(text)
    if value is None:
        wanted = f"one of {', '.join(option.values)}" if option.values else "a number"
        raise SettingsError(f"{option.name}={text!r} in {where}: compile_model throws; use {wanted}")
    return value
