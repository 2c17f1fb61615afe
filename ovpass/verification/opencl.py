"""Ask OpenCL for the version of the driver behind its first GPU: `python -m ovpass.verification.opencl`."""

from __future__ import annotations

import ctypes

_GPU = 4  # CL_DEVICE_TYPE_GPU
_DRIVER_VERSION = 0x102D  # CL_DRIVER_VERSION
_SIZE = 256


def driver_version() -> str:
    """The version as the driver says it, "" where there is no OpenCL or no GPU."""
    try:
        cl = ctypes.CDLL("libOpenCL.so.1")
    except OSError:
        return ""
    for platform in _listed(cl.clGetPlatformIDs):
        for device in _listed(cl.clGetDeviceIDs, ctypes.c_void_p(platform), ctypes.c_ulonglong(_GPU)):
            text = ctypes.create_string_buffer(_SIZE)
            if cl.clGetDeviceInfo(ctypes.c_void_p(device), _DRIVER_VERSION, _SIZE, text, None) == 0:
                return text.value.decode("utf-8", "replace")
    return ""


def _listed(function: object, *arguments: object) -> list[int]:
    """What one of OpenCL's functions lists, which is asked for the number first."""
    count = ctypes.c_uint()
    if function(*arguments, 0, None, ctypes.byref(count)) or not count.value:  # type: ignore[operator]
        return []
    found = (ctypes.c_void_p * count.value)()
    function(*arguments, count.value, found, None)  # type: ignore[operator]
    return [handle for handle in found if handle]


if __name__ == "__main__":
    print(driver_version())
