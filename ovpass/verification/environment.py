"""Look at the environment: what ovpass finds on this machine, and what to install for the rest."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from ovpass.errors import OvpassError
from ovpass.kernels.toolchain import find_compiler
from ovpass.support.cpu_features import has_amx, has_vnni
from ovpass.verification.device_list import list_devices
from ovpass.version import __version__

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+).*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]")
_OWN = ("all", "dev", "docs", "optimize")
"""Extras that no command needs, or that are made of others."""


@dataclass(frozen=True)
class Finding:
    """One thing that ovpass uses: what was found, and what to do if it is missing (None: nothing)."""

    name: str
    found: str
    advice: str | None = None


def examine() -> list[Finding]:
    """Examine this environment."""
    return [*_versions(), *_extras(), _compiler(), *_devices()]


def _versions() -> Iterator[Finding]:
    yield Finding("ovpass", __version__)
    yield Finding("Python", platform.python_version())
    yield Finding("OpenVINO", metadata.version("openvino"))


def _extras() -> Iterator[Finding]:
    """Each extra with the packages of it that are missing."""
    wanted: dict[str, list[str]] = {}
    for requirement in metadata.requires("ovpass") or []:
        found = _REQUIREMENT.fullmatch(requirement)
        if found and found["extra"] not in _OWN:
            wanted.setdefault(found["extra"], []).append(found["name"])
    for extra, packages in sorted(wanted.items()):
        missing = [package for package in packages if not _is_installed(package)]
        if missing:
            yield Finding(f"extra {extra}", f"without {', '.join(missing)}", f"pip install 'ovpass[{extra}]'")
        else:
            yield Finding(f"extra {extra}", "installed")


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _compiler() -> Finding:
    try:
        return Finding("C++ compiler", find_compiler())
    except OvpassError:
        return Finding("C++ compiler", "none", "install g++ to run vector-quantized weights by kernels")


def _devices() -> Iterator[Finding]:
    yield Finding(
        "CPU", "with AMX" if has_amx() else "without AMX" if has_vnni() else "without VNNI: quantizes nothing"
    )
    found = list_devices()
    yield Finding("OpenVINO devices", ", ".join(found.present))
    usable = [entry.profile.name for entry in found.simulated if entry.missing is None]
    needed = None if len(usable) == len(found.simulated) else "ovpass devices --install-driver"
    yield Finding("simulated devices", ", ".join(usable) or "none", needed)
