"""Load models with kernels of ours on a device."""

from __future__ import annotations

import openvino as ov

from ovpass.ir.custom_op import new_core
from ovpass.kernels.build import library


def core_for(device: str) -> ov.Core:
    """A Core that reads the op: on the CPU with the library that computes it.

    Raises:
        KernelError: if the library cannot be built or must not be loaded.
    """
    if device != "CPU":
        return new_core()
    core = ov.Core()
    core.add_extension(str(library()))
    return core
