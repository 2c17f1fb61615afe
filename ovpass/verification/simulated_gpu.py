"""Compile with the real GPU plugin for a simulated device.

Intel's compute runtime can record command buffers instead of submitting them. Compilation, the runtime model and
profiling statuses are then real. Output values, speed and the choice of the FullyConnected kernel are not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.errors import NoDeviceError
from ovpass.support.choices import check_choice
from ovpass.verification.gpu_process import run_in_child
from ovpass.verification.observation import Order, Seen

INSTALL = "apt-get install --no-install-recommends intel-opencl-icd ocl-icd-libopencl1"
INSTALL_HELP = f"""The simulated GPU needs Intel's OpenCL driver and a loader, no device and no kernel module:

    {INSTALL}

Measured with Debian 12's driver, version 22.43."""

NOT_COVERED = "speed, values and the choice of kernel are not the device's"

RECEIVER = "SetCommandStreamReceiver"
"""The driver's key for where commands go: 0, and -1, are the hardware; all others record or simulate."""

_RECORDING = {
    "NEOReadDebugKeys": "1",  # let the release driver read the keys below
    RECEIVER: "1",  # record instead of submitting to hardware
    "AUBDumpCaptureFileName": "/dev/null",  # or every compilation leaves a large file
}


@dataclass(frozen=True)
class Profile:
    """A device that the driver can pretend to be; `target` is the one whose rules it follows."""

    name: str
    target: str
    environment: Mapping[str, str]


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "arc-a770",
            "gpu-xmx",
            # Without the number of slices, sub-slices and execution units the plugin divides by zero.
            {"ProductFamilyOverride": "dg2", "ForceDeviceId": "56a0", "HardwareInfoOverride": "8x4x16"},
        ),
        Profile("iris-xe", "gpu", {"ProductFamilyOverride": "tgllp", "ForceDeviceId": "9a49"}),
    )
}


def get_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        SettingsError: for a name that is none.
    """
    check_choice("simulated device", name, PROFILES)
    return PROFILES[name]


def is_simulated() -> bool:
    """Whether a GPU that this process sees is a simulated one, by the variables that make it so."""
    return os.environ.get(RECEIVER, "") not in ("", "0", "-1")


def profile_for(target: str) -> str:
    """The name of a profile that follows the rules of `target`, one for a GPU."""
    return next(profile.name for profile in PROFILES.values() if profile.target == target)


@dataclass(frozen=True)
class SimulatedGpu:
    """A simulated device for orders, each batch in a child process of its own: this process stays as it is.

    Raises, from every method:
        NoDeviceError: if the driver is missing.
        VerifyError: if the child crashes or takes longer than `timeout` seconds.
    """

    profile: str = "arc-a770"
    timeout: float = 600.0

    def look(self, orders: Sequence[Order], environment: Mapping[str, str] | None = None) -> list[Seen]:
        """Carry out the orders, with further environment variables if given."""
        variables = {**_RECORDING, **get_profile(self.profile).environment, **(environment or {})}
        seen = run_in_child(orders, variables, self.timeout)
        if seen is None:
            raise NoDeviceError(f"OpenVINO sees no GPU device to simulate.\n{INSTALL_HELP}")
        return seen

    def require(self) -> None:
        """Make sure that the driver is there."""
        self.look([])
