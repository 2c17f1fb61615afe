"""Intel GPUs of generations Xe2 and Xe3 (Arc B, Core Ultra 200V and 300): gpu-xmx, and the rule of 128.

Measured by compiling every case on OpenVINO 2026.4's GPU plugin for an Arc B580, Lunar Lake and Panther Lake; the code
is ShouldUseGs128 in openvino/src/plugins/intel_gpu/src/plugin/transformations/dynamic_quantize_fully_connected.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ovpass.sites import CompressedMatMul
from ovpass.targets.base import Adjustment, Profile
from ovpass.targets.gpu_xmx import GPU_XMX, XE2
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.intel_gpu import simulated

_EIGHT_BITS = ("i8", "u8")
_GROUP = 128
XE3P = 35
"""The first architecture of another family."""
_DRIVER = (26, 27)


def _for_eight_bits(site: CompressedMatMul, group_size: int) -> int:
    """Per token, by default too, means groups of 128 for weights in 8 bits. An explicit group is obeyed."""
    return _GROUP if site.weight_type in _EIGHT_BITS and group_size == PER_TOKEN else group_size


RULE_OF_128 = Adjustment(
    "ShouldUseGs128 in dynamic_quantize_fully_connected.cpp",
    _for_eight_bits,
    "for 8-bit weights, per-token means groups of {}",
)

GPU_XE2 = replace(
    GPU_XMX,
    name="gpu-xe2",
    title="Intel GPU of generation Xe2 or Xe3",
    adjustments=(RULE_OF_128, *GPU_XMX.adjustments),
    owns=lambda architecture, xmx: xmx and XE2 <= architecture < XE3P,
    profiles=(
        Profile(
            "arc-b580",
            "Arc B580 (Battlemage)",
            simulated("bmg", "e20b", "5x4x8"),
            driver=_DRIVER,
            aliases=("b580", "battlemage", "bmg"),
        ),
        Profile(
            "lunar-lake",
            "Core Ultra 200V (Lunar Lake)",
            simulated("lnl", "64a0", "2x4x8"),
            driver=_DRIVER,
            aliases=("lnl",),
        ),
        Profile(
            "panther-lake",
            "Core Ultra 300 (Panther Lake)",
            simulated("ptl", "b080", "3x4x8"),
            driver=_DRIVER,
            aliases=("ptl",),
        ),
    ),
)
