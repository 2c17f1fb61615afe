"""ovpass devices: what there is to plan for and to ask."""

from __future__ import annotations

from pathlib import Path

import click

from ovpass.cli.options import PATH, json_option, quiet_option
from ovpass.cli.output import note, print_json, print_table, progress, say, verdict
from ovpass.errors import SettingsError
from ovpass.targets import TARGETS
from ovpass.targets.group_sizes import format_group_size
from ovpass.verification.device_list import DeviceList, devices_report, list_devices
from ovpass.verification.driver import VARIABLE, default_folder, format_version
from ovpass.verification.driver_install import SUITE, install_driver

_USUAL = Path("-")
"""What stands for the folder in the user's cache."""


@click.command("devices")
@click.option(
    "--install-driver",
    "folder",
    type=PATH,
    is_flag=False,
    flag_value=_USUAL,
    metavar="[FOLDER]",
    help="Get Intel's driver for simulated devices into FOLDER, by default one in the user's cache.",
)
@click.option("--mirror", metavar="URL", help="Debian archive to get it from.  [default: that of apt]")
@click.option("--suite", help=f"Debian release to get it from.  [default: {SUITE}]")
@json_option
@quiet_option
def command(folder: Path | None, mirror: str | None, suite: str | None, as_json: bool, quiet: bool) -> None:
    """List the targets, the devices that can be simulated, and which of them are usable here.

    Every name and alias is accepted wherever a command takes a target, a device to simulate, or a profile.
    """
    if folder is not None:
        _install(None if folder == _USUAL else folder, mirror, suite, as_json=as_json, quiet=quiet)
    elif mirror or suite:
        raise SettingsError("--mirror and --suite need --install-driver; add it, or leave them out")
    else:
        found = list_devices()
        if as_json:
            print_json(devices_report(found))
        elif not quiet:
            _print(found)


def _install(folder: Path | None, mirror: str | None, suite: str | None, *, as_json: bool, quiet: bool) -> None:
    with progress(quiet=quiet) as step:
        installed = install_driver(folder, mirror=mirror, suite=suite or SUITE, progress=step)
    version = format_version(installed.version)
    if as_json:
        print_json({"driver": version, "driver_folder": str(installed.folder)})
    elif not quiet:
        if installed.note:
            note(installed.note)
        if installed.folder != default_folder():
            say(f"To use it, set {VARIABLE}={installed.folder}.")
        verdict(f"Driver {version} is in {installed.folder}.", ok=True)


def _print(found: DeviceList) -> None:
    print_table(
        ("Target", "Group", "Threshold", "KV cache", "Devices"),
        [
            (t.name, format_group_size(t.default_group_size), t.default_threshold, t.kv_cache, t.title)
            for t in TARGETS.values()
        ],
        numeric=("Group", "Threshold"),
    )
    print_table(
        ("Simulated", "Target", "Also", "Device", "Usable"),
        [
            (
                entry.profile.name,
                entry.target.name,
                ", ".join(entry.profile.aliases) or None,
                f"{entry.profile.title}{' (preview)' if entry.profile.preview else ''}",
                "yes" if entry.missing is None else f"needs {entry.missing}",
            )
            for entry in found.simulated
        ],
    )
    say(f"OpenVINO sees {', '.join(found.present) or 'no device'} on this machine.")
    verdict(found.driver_note)
