"""Kernels of our own for vector-quantized weights: C++ for the CPU plugin, OpenCL for the GPU plugin.

One op, `VectorQuantizedMatMul`, stands for a MatMul with its decompression chain. `library()` is an extension for
OpenVINO that computes it on the CPU.
"""

from ovpass.support.lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ovpass.kernels.build import library
    from ovpass.kernels.generation import Generated, generate
    from ovpass.kernels.loading import load, load_pipeline
    from ovpass.kernels.opencl import GpuVariant, write_gpu_kernels
    from ovpass.kernels.packing import pack, unpack
    from ovpass.kernels.shape import KernelShape
    from ovpass.kernels.tuner import Tuned, tune

_HOMES = {
    "Generated": "ovpass.kernels.generation",
    "GpuVariant": "ovpass.kernels.opencl",
    "KernelShape": "ovpass.kernels.shape",
    "Tuned": "ovpass.kernels.tuner",
    "generate": "ovpass.kernels.generation",
    "library": "ovpass.kernels.build",
    "load": "ovpass.kernels.loading",
    "load_pipeline": "ovpass.kernels.loading",
    "pack": "ovpass.kernels.packing",
    "tune": "ovpass.kernels.tuner",
    "unpack": "ovpass.kernels.packing",
    "write_gpu_kernels": "ovpass.kernels.opencl",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "Generated",
    "GpuVariant",
    "KernelShape",
    "Tuned",
    "generate",
    "library",
    "load",
    "load_pipeline",
    "pack",
    "tune",
    "unpack",
    "write_gpu_kernels",
]
