"""Activation group sizes: a positive number of elements along K, all of K, or off."""

from __future__ import annotations

from typing import overload

from ovpass.errors import SettingsError

_NAME = "per-token"
_OFF_NAME = "off"

PER_TOKEN = 2**64 - 1
"""The plugin property's value for one group a token: all of K."""
OFF = 0
"""The plugin property's value for no quantization."""


def parse_group_size(value: object) -> int:
    """Read `128`, `"128"` or `"per-token"`.

    Raises:
        SettingsError: for anything else, zero and negative numbers included.
    """
    if isinstance(value, str) and value.strip().lower() == _NAME:
        return PER_TOKEN
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else 0
    except ValueError:
        number = 0
    if number > PER_TOKEN:
        raise SettingsError(f"group size {value!r} is larger than {PER_TOKEN}, which is per-token; use per-token")
    if number < 1:
        raise SettingsError(
            f"group size {value!r} is neither a positive number of elements nor 'per-token'; "
            "to leave sites unquantized, exempt them with a rule; for a whole model, write off"
        )
    return number


def parse_model_group_size(value: object) -> int:
    """Read `128`, `"128"`, `"per-token"`, `"off"` or the property's own `0`, as the setting of a whole model.

    Raises:
        SettingsError: for anything else.
    """
    off = value is False or str(value).strip().lower() in (_OFF_NAME, str(OFF))  # YAML reads off as false
    return OFF if off else parse_group_size(value)


@overload
def format_group_size(group_size: int) -> int | str: ...
@overload
def format_group_size(group_size: None) -> None: ...
def format_group_size(group_size: int | None) -> int | str | None:
    """The group size as people and files write it; None, for no quantization, stays."""
    return {PER_TOKEN: _NAME, OFF: _OFF_NAME}.get(group_size, group_size) if group_size is not None else None


def group_fits(group_size: int, length: int | None, *, short_last_group: bool) -> bool:
    """Whether groups of that size can be emulated along an axis of `length` elements, None if it is dynamic.

    `short_last_group` tells whether the target forms one; the GPU plugin quantizes no such site (measured).
    """
    if length is None:
        return group_size >= PER_TOKEN
    return group_size >= length or length % group_size == 0 or short_last_group
