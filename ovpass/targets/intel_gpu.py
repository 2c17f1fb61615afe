"""What all Intel GPUs have in common, with XMX and without: runtime options, and what switches quantization off.

The code is in openvino/src/plugins/intel_gpu/src/runtime/execution_config.cpp (apply_rt_info) and
inference/src/dev/plugin_config.cpp (apply_env_options).
"""

from __future__ import annotations

from collections.abc import Mapping

from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.runtime_options import CACHE_TYPES, IGNORED, KEY_MODE, KV_CACHE, NO_CACHE, SCALE_FACTOR, Obedience


def gpu_options(group_size: int, kv_cache: Obedience) -> dict[str, Obedience]:
    """The options of every Intel GPU; families differ in the default group size and in the KV cache."""
    return {
        GROUP_SIZE: Obedience(str(group_size), as_variable=True),
        LARGEST_GROUP_SIZE: Obedience(str(PER_TOKEN), as_variable=True),
        KV_CACHE: kv_cache,
        KEY_MODE: Obedience("AUTO", IGNORED, reported=False),  # for paged attention
        SCALE_FACTOR: Obedience("-1", NO_CACHE, as_variable=True),
    }


def kv_cache(default: str, ir: str) -> Obedience:
    """How a family of GPUs keeps keys and values."""
    return Obedience(default, ir, as_variable=True, values=CACHE_TYPES)


def switched_off(precision: str, accuracy: bool) -> str | None:
    """Why nothing is quantized in this precision and execution mode."""
    return "f32 compute turns it off" if precision == "f32" or accuracy else None


def simulated(product: str, device_id: str, topology: str) -> Mapping[str, str]:
    """The driver's keys for a device; `topology` is its number of slices, sub-slices a slice and units in each.

    Without a topology the plugin divides by zero.
    """
    return {"ProductFamilyOverride": product, "ForceDeviceId": device_id, "HardwareInfoOverride": topology}
