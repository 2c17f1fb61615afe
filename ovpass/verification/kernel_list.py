"""Read which kernels a GPU plugin chose out of a model that it exports: without XMX these alone tell what is quantized.

Measured on OpenVINO 2026.4: an export lists the kernels of each primitive by name, and holds their binaries. The kernel
of a FullyConnected that quantizes its activation itself has a function `_fc_bf_tiled_kernel_dyn_quan`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

_QUANTIZING = re.compile(rb"_fc_bf_tiled_kernel_dyn_quan_fully_connected_gpu_bf_tiled_(\d+)_")
_LISTED = re.compile(rb"fullyconnected(?:compressed)?:|fully_connected_gpu_\w+?_(\d+)_\d+_\d+__sa@\d+")
_LENGTH = struct.calcsize("<Q")


def quantizing_primitives(exported: bytes) -> Mapping[str, bool]:
    """For each FullyConnected whose kernels are listed, by name, whether one of them quantizes its activation."""
    quantizing = set(_QUANTIZING.findall(exported))
    found: dict[str, bool] = {}
    name = ""
    for match in _LISTED.finditer(exported):
        start, length = match.start(), _length_before(exported, match.start())
        if match[1] is None:
            # Ids of primitives are in other places too, where no length precedes them.
            text = exported[start : start + length] if length < start else b""
            if text.isascii() and text.decode("ascii").isprintable() and text:
                name = text.decode("ascii").partition(":")[2]
        elif length == len(match[0]):
            found[name] = found.get(name, False) or match[1] in quantizing
    return found


def _length_before(exported: bytes, start: int) -> int:
    """Strings are written after their length."""
    if start < _LENGTH:
        return 0
    (length,) = struct.unpack_from("<Q", exported, start - _LENGTH)
    return int(length)
