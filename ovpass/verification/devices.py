"""The OpenVINO devices of this machine."""

from __future__ import annotations

import openvino as ov

from ovpass.errors import NoDeviceError


def require_device(device: str, core: ov.Core | None = None) -> None:
    """Make sure that `device` is there: CPU, GPU, or one of several, as GPU.1.

    Raises:
        NoDeviceError: if there is none of that name.
    """
    present = (core or ov.Core()).available_devices
    if device not in present and not any(name.startswith(f"{device}.") for name in present):
        raise NoDeviceError(f"OpenVINO sees no {device}; it sees {', '.join(present) or 'no device'}")
