"""What a plugin stores of keys and values that a model keeps in states, and how many bytes that takes.

CPU: nodes/scaled_attn.cpp of openvino/src/plugins/intel_cpu: a scale and a zero point in f32 for each group. GPU:
plugin/transformations/kv_cache_compression.cpp of openvino/src/plugins/intel_gpu: i8 for every integer type that is
asked for, with a scale in f16, and a zero point in i8 with XMX and in f16 without. Both plugins have one setting for
all layers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KvStorage:
    """The types of keys and values: `integers`, of which a group has `group_bytes` besides, and `floats`.

    The last of `floats` is as exact as the device computes. `apart` tells that keys and values can differ, and that the
    elements of a head can be split in groups.
    """

    integers: tuple[str, ...]
    floats: tuple[str, ...]
    group_bytes: int
    apart: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        """All types, the smallest first."""
        return (*self.integers, *self.floats)


CPU_STORAGE = KvStorage(("u4", "u8"), ("f16", "f32"), 8, apart=True)
XMX_STORAGE = KvStorage(("i8",), ("f16",), 3)
NO_XMX_STORAGE = KvStorage(("i8",), ("f16",), 4)
