"""The targets and simulated devices that ovpass knows, and which of them can be asked on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ovpass.targets import TARGETS, Profile, Target
from ovpass.targets.group_sizes import format_group_size
from ovpass.verification.driver import Driver, current_driver, format_version
from ovpass.verification.simulated_gpu import INSTALL_COMMAND, installed_version


@dataclass(frozen=True)
class Simulated:
    """A device that can be simulated, and why not here (None: it can)."""

    profile: Profile
    target: Target
    missing: str | None


@dataclass(frozen=True)
class DeviceList:
    """What there is. `present` are the devices that OpenVINO sees, `version` that of the driver for simulated ones."""

    present: tuple[str, ...]
    driver: Driver
    version: tuple[int, ...] | None
    simulated: tuple[Simulated, ...]

    @property
    def driver_note(self) -> str:
        """The driver in words."""
        if self.version is None:
            return f"No driver for simulated GPUs is installed; '{INSTALL_COMMAND}' installs one."
        return f"The driver for simulated devices is {format_version(self.version)}, {self.driver.place}."


def list_devices() -> DeviceList:
    """Look at this machine.

    Raises:
        NoDeviceError: where the environment names a driver that is not there.
    """
    import openvino as ov  # noqa: PLC0415 - not needed to print help

    driver = current_driver()
    version = installed_version(driver)
    simulated = [
        Simulated(profile, target, _missing(profile, version))
        for target in TARGETS.values()
        for profile in target.profiles
    ]
    return DeviceList(tuple(ov.Core().available_devices), driver, version, tuple(simulated))


def _missing(profile: Profile, version: tuple[int, ...] | None) -> str | None:
    if version is None:
        return "the driver"
    if version < profile.driver:
        return f"driver {format_version(profile.driver)} or later"
    return None


def devices_report(found: DeviceList) -> dict[str, Any]:
    """The list as JSON."""
    return {
        "openvino_devices": list(found.present),
        "driver": None if found.version is None else format_version(found.version),
        "driver_folder": None if found.driver.folder is None else str(found.driver.folder),
        "targets": [
            {
                "name": target.name,
                "title": target.title,
                "device": target.device,
                "group_size": format_group_size(target.default_group_size),
                "threshold": target.default_threshold,
                "kv_cache": target.kv_cache,
            }
            for target in TARGETS.values()
        ],
        "simulated": [
            {
                "name": entry.profile.name,
                "title": entry.profile.title,
                "target": entry.target.name,
                "aliases": list(entry.profile.aliases),
                "preview": entry.profile.preview,
                "usable": entry.missing is None,
                "missing": entry.missing,
            }
            for entry in found.simulated
        ],
    }
