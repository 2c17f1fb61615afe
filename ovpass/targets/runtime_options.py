"""The runtime options that plugins read from an IR. Each target says which of them it knows, and their effect.

Measured on OpenVINO 2026.4: `compiled_model.get_property` after setting an option in the IR, as a compile property and
in the environment, on the CPU and on simulated GPUs with and without XMX. The code is in openvino/src:
plugins/intel_gpu/src/runtime/execution_config.cpp (apply_rt_info), plugins/intel_cpu/src/config.cpp (applyRtInfo) and
inference/src/dev/plugin_config.cpp (apply_env_options).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ovpass.errors import SettingsError
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE, as_group_size
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size, parse_group_size

OBEYED, IGNORED, NO_CACHE = "obeyed", "ignored", "obeyed without a KV cache"
"""What a device makes of an option in the IR; NO_CACHE: it ignores it in models that keep a KV cache."""

KV_CACHE, KEY_CACHE, VALUE_CACHE = "KV_CACHE_PRECISION", "KEY_CACHE_PRECISION", "VALUE_CACHE_PRECISION"
KEY_GROUP, VALUE_GROUP = "KEY_CACHE_GROUP_SIZE", "VALUE_CACHE_GROUP_SIZE"
KEY_MODE = "KEY_CACHE_QUANT_MODE"
CACHE_OPTIONS = (KV_CACHE, KEY_CACHE, VALUE_CACHE, KEY_GROUP, VALUE_GROUP, KEY_MODE)
"""How keys and values are kept."""
SCALE_FACTOR = "ACTIVATIONS_SCALE_FACTOR"
THRESHOLD = "GPU_DYNAMIC_QUANTIZATION_THRESHOLD"
ASYMMETRIC = "GPU_ASYM_DYNAMIC_QUANTIZATION"

_FLOATS = ("f32", "f16", "bf16")
_OTHER_TYPES = "f64 u1 u2 u3 u6 u16 u32 u64 i2 i16 i32 i64 nf4 f4e2m1 f8e4m3 f8e5m2 f8e8m0 boolean dynamic undefined"
CPU_CACHE_TYPES = (*_FLOATS, "u8", "u4")
CACHE_TYPES = (*_FLOATS, "u8", "i8", "u4", "i4")
BY_CHANNEL = "BY_CHANNEL"
_MODES = ("AUTO", BY_CHANNEL, "BY_TOKEN")


@dataclass(frozen=True)
class Obedience:
    """What a target makes of an option that it knows.

    `default` holds where nobody says anything. `ir` is OBEYED, IGNORED or NO_CACHE; `as_property` and `as_variable`
    say whether compile_model takes it, and whether the environment variable OV_<name> overrules all else. `values`
    are those that work, any where empty; `accuracy` is what EXECUTION_MODE_HINT=ACCURACY puts above the IR.
    `reported` tells whether a compiled model says which value it took.
    """

    default: str
    ir: str = OBEYED
    as_property: bool = True
    as_variable: bool = False
    values: tuple[str, ...] = ()
    accuracy: str | None = None
    reported: bool = True

    def hears_ir(self, *, keeps_cache: bool) -> bool:
        """Whether the IR counts, of a model that keeps a KV cache or of one that does not."""
        return self.ir == OBEYED or (self.ir == NO_CACHE and not keeps_cache)


@dataclass(frozen=True)
class KnownOption:
    """An option. `read` makes of a text what plugins do, None where they throw; `values` work on some target or other.

    `instead` is the setting to use where ovpass sets the option itself; `parent` the option that holds where this
    one is not set.
    """

    name: str
    meaning: str
    read: Callable[[str], str | None]
    values: tuple[str, ...] = ()
    instead: str | None = None
    parent: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable of the option, for devices that look at one."""
        return f"OV_{self.name}"


def _group(text: str) -> str | None:
    number = as_group_size(text)
    return None if number is None else str(number)


def _element_type(text: str) -> str | None:
    lowered = text.lower() or "dynamic"
    return lowered if lowered in (*CACHE_TYPES, *_OTHER_TYPES.split()) else None


def _mode(text: str) -> str | None:
    return text if text in _MODES else None


def _number(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return f"{number:.9g}" if math.isfinite(number) else None  # nine digits tell any two f32 apart


_PER_TOKEN = str(PER_TOKEN)

OPTIONS: Mapping[str, KnownOption] = MappingProxyType(
    {
        option.name: option
        for option in (
            KnownOption(
                GROUP_SIZE, "elements of an activation that share a scale; 0: off", _group, instead="group_size"
            ),
            KnownOption(
                LARGEST_GROUP_SIZE, "a group size above this turns quantization off for the whole model", _group
            ),
            KnownOption(KV_CACHE, "KV cache precision", _element_type, CACHE_TYPES),
            KnownOption(KEY_CACHE, "key cache precision", _element_type, CPU_CACHE_TYPES, parent=KV_CACHE),
            KnownOption(VALUE_CACHE, "value cache precision", _element_type, CPU_CACHE_TYPES, parent=KV_CACHE),
            KnownOption(KEY_GROUP, "elements of a key that share a scale; 0: the plugin chooses", _group),
            KnownOption(VALUE_GROUP, "elements of a value that share a scale; 0: the plugin chooses", _group),
            KnownOption(
                KEY_MODE, "what keys share a scale: BY_TOKEN a token's, BY_CHANNEL a channel's; AUTO", _mode, _MODES
            ),
            KnownOption(SCALE_FACTOR, "divide activations by this to stay in the f16 range; -1: off", _number),
            KnownOption(THRESHOLD, "quantize activations with more tokens than this", _group, instead="threshold"),
            KnownOption(ASYMMETRIC, "1: quantize to u8 with a zero point", _group, instead="symmetric"),
        )
    }
)


def check_runtime_options(given: Mapping[str, object]) -> dict[str, str]:
    """Options as they are written into an IR.

    Raises:
        SettingsError: for an option that is unknown or another setting's, and for a value that no device takes.
    """
    if not isinstance(given, Mapping):
        raise SettingsError(f"runtime_options: expected names and values, found {given!r}")
    return {str(name).upper(): _checked(str(name).upper(), value) for name, value in given.items()}


def _checked(name: str, value: object) -> str:
    where = f"runtime option {name}"
    if name not in OPTIONS:
        settable = [option.name for option in OPTIONS.values() if option.instead is None]
        near = difflib.get_close_matches(name, settable, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(settable)}"
        raise SettingsError(f"{where} is unknown; {hint}")
    option = OPTIONS[name]
    if option.instead is not None:
        raise SettingsError(f"the setting {option.instead} writes {where}; use the setting")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise SettingsError(f"{where}: {value!r} is neither text nor a number")
    return _canonical(option, str(value).strip(), where)


def _canonical(option: KnownOption, text: str, where: str) -> str:
    if option.read is _group:
        return text if text == "0" else _parsed_group(text, where)
    read = option.read(text) if text else None
    if read is None or (option.values and read not in option.values):
        wanted = f"one of {', '.join(option.values)}" if option.values else "a number"
        raise SettingsError(f"{where}: {text!r} is not {wanted}")
    return read


def _parsed_group(text: str, where: str) -> str:
    try:
        return str(parse_group_size(text))
    except SettingsError:
        raise SettingsError(f"{where}: {text!r} is not a whole number, 0 or more") from None


def show_value(value: str) -> str:
    """A value as people write it."""
    return str(format_group_size(PER_TOKEN)) if value == _PER_TOKEN else value
