"""Kernels of our own for vector-quantized weights: C++ for the CPU plugin, OpenCL for the GPU plugin.

One op, `VectorQuantizedMatMul`, stands for a MatMul with its decompression chain. `library()` is an extension for
OpenVINO that computes it on the CPU.
"""

from ovpass.support.lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ovpass.kernels.build import library
    from ovpass.kernels.packing import pack, unpack
    from ovpass.kernels.shape import KernelShape

_HOMES = {
    "KernelShape": "ovpass.kernels.shape",
    "library": "ovpass.kernels.build",
    "pack": "ovpass.kernels.packing",
    "unpack": "ovpass.kernels.packing",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = ["KernelShape", "library", "pack", "unpack"]
