"""Group sizes of activations: a positive number of elements along K, or all of K."""

from __future__ import annotations

from ovpass.errors import SettingsError

PER_TOKEN = 2**64 - 1
"""The plugin property's value for one group a token: all of K."""

PER_TOKEN_UNLESS_CAPPED = 2**32 - 1
"""Also all of K, but on GPUs weights with a zero point still cap it at their own group."""

_NAMES = {PER_TOKEN: "per-token", PER_TOKEN_UNLESS_CAPPED: "per-token-unless-capped"}


def parse_group_size(value: object) -> int:
    """Read `128`, `"128"`, `"per-token"` or `"per-token-unless-capped"`.

    Raises:
        SettingsError: for anything else, zero and negative numbers included.
    """
    for number, name in _NAMES.items():
        if isinstance(value, str) and value.strip().lower() == name:
            return number
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else 0
    except ValueError:
        number = 0
    if not 0 < number <= PER_TOKEN:
        raise SettingsError(
            f"group size {value!r} is neither a positive number of elements nor 'per-token'; "
            "to leave sites unquantized, exempt them with a rule"
        )
    return number


def format_group_size(group_size: int) -> int | str:
    """The group size as people and files write it."""
    return _NAMES.get(group_size, group_size)
