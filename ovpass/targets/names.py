"""The names of targets and of single devices: one list for all commands and settings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from ovpass.errors import RenamedWarning, SettingsError
from ovpass.support.choices import check_choice
from ovpass.targets import TARGETS
from ovpass.targets.base import Profile, Target

_UNSUPPORTED = dict.fromkeys(("pvc", "ponte-vecchio", "gpu-max"), "Data Center GPU Max (Ponte Vecchio)")
"""Devices that Intel's driver simulates and OpenVINO does not see (measured)."""


@dataclass(frozen=True)
class Named:
    """What a name stands for: a target, and one device of it if that was named."""

    name: str
    target: Target
    profile: Profile | None = None


def find_name(text: str, what: str = "target") -> Named:
    """What `text` stands for; `what` is the setting that has it.

    Raises:
        SettingsError: for an unknown name, listing those there are.
    """
    names = {named.name: named for named in _all()}
    text = _current(text, what)
    text = _aliases().get(text, text)
    of_device = [name for name, named in names.items() if named.target.device == text]
    unsupported = _UNSUPPORTED.get(str(text).lower())
    if unsupported is not None:
        raise SettingsError(f"{what} {text!r}: OpenVINO's GPU plugin does not support {unsupported}")
    if len(of_device) > 1:
        raise SettingsError(f"{what} {text!r} covers several device families; use one of {', '.join(of_device)}")
    check_choice(what, text, names)
    return names[text]


def find_device(text: str) -> Named:
    """The same for what can stand beside OpenVINO's own names of devices, which are in capitals or not.

    Raises:
        SettingsError: for an unknown name.
    """
    lowered = text.lower()
    return find_name(lowered if lowered in (*known_names(), *_aliases()) else text, "device")


def get_target(name: str) -> Target:
    """The target of that name, or the one that the device of that name belongs to.

    Raises:
        SettingsError: for an unknown name.
    """
    return find_name(name).target


def get_profile(name: str, what: str = "simulated device") -> Profile:
    """The simulated device of that name; of a target, the usual one.

    Raises:
        SettingsError: for an unknown name, and for a target that has none.
    """
    named = find_name(name, what)
    if named.profile is not None:
        return named.profile
    if not named.target.profiles:
        raise SettingsError(f"{what} {name!r}: only GPUs can be simulated; use one of {', '.join(profiles())}")
    return named.target.profiles[0]


def profiles() -> dict[str, Profile]:
    """All simulated devices by name."""
    return {profile.name: profile for target in TARGETS.values() for profile in target.profiles}


def target_of(architecture: int, *, xmx: bool) -> Target:
    """The target of a GPU, by the first number of its architecture's version and whether it has XMX."""
    return next(target for target in TARGETS.values() if target.owns is not None and target.owns(architecture, xmx))


def known_names() -> list[str]:
    """All names, targets first, without aliases."""
    return [named.name for named in _all()]


def _all() -> Iterator[Named]:
    yield from (Named(name, target) for name, target in TARGETS.items())
    for target in TARGETS.values():
        yield from (Named(profile.name, target, profile) for profile in target.profiles)


def _aliases() -> dict[str, str]:
    return {alias: profile.name for profile in profiles().values() for alias in profile.aliases}


def _current(text: str, what: str) -> str:
    older = {name: target.name for target in TARGETS.values() for name in target.older_names}
    if text not in older:
        return text
    warnings.warn(f"{what} {text} is now called {older[text]}", RenamedWarning, stacklevel=2)
    return older[text]
