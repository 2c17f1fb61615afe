"""Read which kernels a GPU plugin chose from the model that it exports: without XMX only these show quantization.

Measured on OpenVINO 2026.4: an export lists the kernels of each primitive by name and holds their binaries. A
FullyConnected that quantizes its activation has, with dynamic shapes, a kernel with the function
`_fc_bf_tiled_kernel_dyn_quan`; with static shapes it has two kernels, of which the first quantizes.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping

_QUANTIZING = re.compile(rb"_fc_bf_tiled_kernel_dyn_quan_fully_connected_gpu_bf_tiled_(\d+)_")
_BEGINNING = re.compile(rb"fullyconnected(?:compressed)?:|fully_connected_gpu_")
_KERNEL = re.compile(r"fully_connected_gpu_\w+?_(?P<hash>\d+)_\d+_\d+(?P<dynamic>__sa)?@\d+")
_LENGTH = struct.calcsize("<Q")
_LONGEST = 4096


def quantizing_primitives(exported: bytes) -> Mapping[str, bool]:
    """Return by name, for each FullyConnected with listed kernels, whether they quantize its activation."""
    hashes = {text.decode("ascii") for text in _QUANTIZING.findall(exported)}
    kernels: dict[str, list[re.Match[str]]] = defaultdict(list)
    name = ""
    for text in _strings(exported):
        kernel = _KERNEL.fullmatch(text)
        if kernel is not None:
            kernels[name].append(kernel)
        elif ":" in text:
            name = text.partition(":")[2]
    return {name: any(_quantizes(kernel, len(listed), hashes) for kernel in listed) for name, listed in kernels.items()}


def _quantizes(kernel: re.Match[str], listed: int, hashes: set[str]) -> bool:
    return kernel["hash"] in hashes if kernel["dynamic"] else listed > 1


def _strings(exported: bytes) -> Iterator[str]:
    """Names of primitives and kernels: strings that follow their length, which binaries of kernels do not have."""
    for match in _BEGINNING.finditer(exported):
        start = match.start()
        length = int(struct.unpack_from("<Q", exported, start - _LENGTH)[0]) if start >= _LENGTH else 0
        text = exported[start : start + length] if length < _LONGEST else b""
        if text and text.isascii() and text.decode("ascii").isprintable():
            yield text.decode("ascii")
