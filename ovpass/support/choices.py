"""Settings with a fixed set of values. Errors suggest the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from ovpass.errors import SettingsError


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Make sure that `value`, of the setting `name`, is one of them.

    Raises:
        SettingsError: naming the setting, what there is, and a near miss.
    """
    if value not in choices:
        near = near_choice(value, choices)
        hint = f"; did you mean {near!r}?" if near else ""
        raise SettingsError(f"{name} {value!r} is unknown; it is one of {', '.join(choices)}{hint}")


def near_choice(value: object, choices: Collection[str]) -> str | None:
    """The one most like `value`, capitals apart, first of those that begin with it; None where none is like it."""
    spelt, typed = {choice.casefold(): choice for choice in choices}, str(value).casefold()
    near = difflib.get_close_matches(typed, spelt, n=len(spelt) or 1)
    begun = [choice for choice in near if choice.startswith(typed)]
    return spelt[(begun or near)[0]] if near else None


def check_keywords(given: Iterable[str], known: Collection[str]) -> None:
    """Make sure that all keywords of a call are `known`.

    Raises:
        SettingsError: naming those that are not, and a near miss or what there is.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        near = near_choice(unknown[0], known)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
        raise SettingsError(f"unknown options {', '.join(unknown)}; {hint}")
