"""Compile with the real GPU plugin for a simulated device.

Intel's compute runtime can record command buffers instead of submitting them. Compilation, the runtime model and
profiling statuses are then real. Output values, speed and the choice of the FullyConnected kernel are not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.errors import NoDeviceError
from ovpass.support.cache import cache_folder
from ovpass.targets import Profile
from ovpass.targets.names import get_profile
from ovpass.verification.driver import Driver, current_driver, driver_version, format_version
from ovpass.verification.gpu_process import run_in_child
from ovpass.verification.observation import Observation, Order

INSTALL_COMMAND = "ovpass devices --install-driver"
INSTALL_HELP = f"""The simulated GPU needs Intel's OpenCL driver and a loader, no device and no kernel module:

    {INSTALL_COMMAND}

installs them into your own folder and changes nothing else (75 MB download, 305 MB on disk). It needs apt (Debian or
Ubuntu). The driver in Debian 12 also knows Arc A770 and Iris Xe:

    apt-get install --no-install-recommends intel-opencl-icd ocl-icd-libopencl1"""

NOT_COVERED = "speed, values and choice of kernel differ from the real device"

RECEIVER = "SetCommandStreamReceiver"
"""The driver's key for where commands go: 0, and -1, are the hardware; all others record or simulate."""

RECORDING = {
    "NEOReadDebugKeys": "1",  # let the release driver read the keys below
    RECEIVER: "1",  # record instead of submitting to hardware
    "AUBDumpCaptureFileName": "/dev/null",  # or every compilation leaves a large file
    "UseAubStream": "0",  # or newer drivers crash
    "EnableTimestampWaitForQueues": "0",  # or newer drivers wait for a device that never answers
    "EnableTimestampWaitForEvents": "0",
}
KERNEL_CACHE = "gpu-kernels"
"""The folder, in ovpass's cache, of kernels that the driver has compiled."""
_CACHE_BYTES = 1 << 30
_OLDEST = "arc-a770"
"""A device that every version of the driver knows, and so can be asked for its version."""


def is_simulated() -> bool:
    """Whether a GPU that this process sees is a simulated one, by the variables that make it so."""
    return os.environ.get(RECEIVER, "") not in ("", "0", "-1")


@dataclass(frozen=True)
class SimulatedGpu:
    """A simulated device for orders, each batch in a child process of its own: this process stays as it is.

    Raises, from every method:
        NoDeviceError: if the driver is missing.
        VerifyError: if the child crashes or takes longer than `timeout` seconds.
    """

    profile: str = "arc-a770"
    timeout: float = 600.0

    def look(self, orders: Sequence[Order], environment: Mapping[str, str] | None = None) -> list[Observation]:
        """Carry out the orders, with further environment variables if given."""
        driver, profile = current_driver(), get_profile(self.profile)
        check_knows(driver, profile)
        variables = {**RECORDING, **_kernel_cache(), **profile.environment, **(environment or {})}
        seen = run_in_child(orders, variables, self.timeout, driver)
        if seen is None:
            raise NoDeviceError(f"OpenVINO sees no GPU device to simulate.\n{INSTALL_HELP}")
        return seen

    def require(self) -> None:
        """Make sure that the driver is there."""
        self.look([])


def _kernel_cache() -> dict[str, str]:
    """Variables by which newer drivers keep kernels in ovpass's cache instead of the user's, up to a size.

    Several processes may share it: the driver writes a file under another name and renames it.
    """
    folder = cache_folder(KERNEL_CACHE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {"NEO_CACHE_PERSISTENT": "0"}
    return {"NEO_CACHE_PERSISTENT": "1", "NEO_CACHE_DIR": str(folder), "NEO_CACHE_MAX_SIZE": str(_CACHE_BYTES)}


def installed_version(driver: Driver) -> tuple[int, ...] | None:
    """The driver's version, None where there is no driver."""
    return driver_version(driver, {**RECORDING, **get_profile(_OLDEST).environment})


def check_knows(driver: Driver, profile: Profile) -> None:
    """Make sure that the driver is there and knows the device: it would crash otherwise.

    Raises:
        NoDeviceError: where it is not or does not, with the way out.
    """
    version = installed_version(driver)
    if version is None:
        raise NoDeviceError(f"no driver to simulate {profile.name} is installed.\n{INSTALL_HELP}")
    if version < profile.driver:
        raise NoDeviceError(
            f"driver {format_version(version)}, {driver.place}, does not know {profile.name}; that needs "
            f"{format_version(profile.driver)} or later: {INSTALL_COMMAND}"
        )
