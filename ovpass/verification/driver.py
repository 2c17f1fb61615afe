"""Intel's OpenCL driver for simulated GPUs: which one is used, how processes start with it, and its version.

A driver can lie in a private folder with the C library that it was built for. Processes that use it are then started by
that library's own loader; nothing else on the machine changes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.errors import NoDeviceError
from ovpass.support.cache import cache_folder
from ovpass.support.processes import end, log_start, own_modules, python_module

VARIABLE = "OVPASS_DRIVER"
"""The environment variable that names the driver's folder, or SYSTEM for the one that is installed."""
SYSTEM = "system"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
ICD = f"{LIBRARIES}/intel-opencl/libigdrcl.so"
VENDORS = "vendors"
_SECONDS = 60


@dataclass(frozen=True)
class Driver:
    """A driver in a folder of its own, or the system's where `folder` is None."""

    folder: Path | None = None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return "installed on this system" if self.folder is None else f"in {self.folder}"

    def command(self, command: Sequence[str]) -> list[str]:
        """The command, started so that it finds this driver; its program is an ELF file."""
        if self.folder is None:
            return list(command)
        loader, libraries = self.folder / LOADER, self.folder / LIBRARIES
        return [str(loader), "--library-path", str(libraries), "--argv0", command[0], *command]

    def variables(self) -> dict[str, str]:
        """Environment variables that go with the command."""
        return {} if self.folder is None else {"OCL_ICD_VENDORS": str(self.folder / VENDORS)}


SYSTEM_DRIVER = Driver()


def default_folder() -> Path:
    """Where a driver is installed to, and looked for, if nothing else is said: in the user's cache."""
    return cache_folder("driver")


def current_driver() -> Driver:
    """The driver named by the environment variable, else the one in the default folder, else the system's.

    Raises:
        NoDeviceError: where the variable names a folder that has none.
    """
    named = os.environ.get(VARIABLE, "")
    if named == SYSTEM:
        return SYSTEM_DRIVER
    folder = Path(named).absolute() if named else default_folder()
    if (folder / LOADER).is_file() and (folder / ICD).is_file():
        return Driver(folder)
    if named:
        raise NoDeviceError(
            f"{VARIABLE}={named}: holds no driver; install one with 'ovpass devices --install-driver {named}'"
        )
    return SYSTEM_DRIVER


def driver_version(driver: Driver, environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Year, week and build of the driver; None where there is none that answers.

    `environment` makes it simulate a device that every version knows.
    """
    command, variables = driver.command(python_module("ovpass.verification.opencl")), driver.variables()
    log_start(command, {**variables, **environment})
    child = subprocess.Popen(
        command,
        env={**os.environ, **variables, **environment, **own_modules()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answer, _ = child.communicate(timeout=_SECONDS)
    except BaseException as error:
        end(child)
        if isinstance(error, subprocess.TimeoutExpired):
            return None
        raise
    return parse_version(answer.decode("utf-8", "replace").strip())


def parse_version(text: str) -> tuple[int, ...] | None:
    """The numbers of `26.27.39122`; None for anything else."""
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"\d+(\.\d+)+", text) else None


def format_version(version: Sequence[int]) -> str:
    """Numbers as a version."""
    return ".".join(map(str, version))
