"""Intel GPUs of generation Xe3p, not sold yet: gpu-xe2, and weights in 8-bit and 4-bit floating point.

Measured by compiling on OpenVINO 2026.4's GPU plugin for a Nova Lake-P and a Crescent Island, as far as that goes. For
weights in floating point there is no kernel without quantization: DynamicQuantize runs for any number of tokens, and
with group size 0 the first inference fails.
"""

from __future__ import annotations

from dataclasses import replace

from ovpass.sites import CompressedMatMul
from ovpass.targets.base import Profile, Refusal
from ovpass.targets.gpu_xe2 import GPU_XE2, XE3P
from ovpass.targets.gpu_xmx import WEIGHTS
from ovpass.targets.intel_gpu import simulated

_FLOATS = ("f8e4m3", "f8e5m2", "f4e2m1")
_DRIVER = (26, 27)
_POWERS = "f8e8m0"


def _weight_type(site: CompressedMatMul, _: int) -> str | None:
    if site.weight_type in (*WEIGHTS, *_FLOATS):
        return None
    return f"{site.weight_type} weights are decompressed to f16 when the model is compiled"


def _microscaling(site: CompressedMatMul, group_size: int) -> str | None:
    """Weights in mxfp4 and mxfp8: scales that are powers of two."""
    own = site.weight_group_size
    if site.weight_type not in _FLOATS or group_size == own:
        return None
    kinds = {scale.element_type for scale in site.weights.scales}
    if _POWERS in kinds:
        return (
            f"the plugin fails to compile {site.weight_type} weights with {_POWERS} scales; group size {own} compiles"
        )
    if kinds & set(_FLOATS):
        return f"the plugin fails to compile {site.weight_type} weights with {', '.join(sorted(kinds))} scales"
    return None


GPU_XE3P = replace(
    GPU_XE2,
    name="gpu-xe3p",
    title="Intel GPU of generation Xe3p (preview)",
    refusals=(
        *(replace(rule, applies=_weight_type) if rule.name == "weight-type" else rule for rule in GPU_XE2.refusals),
        Refusal("microscaling", "measured: clBuildProgram fails", _microscaling, throws=True),
    ),
    float_activations=_FLOATS,
    owns=lambda architecture, xmx: xmx and architecture >= XE3P,
    profiles=(
        Profile(
            "nova-lake",
            "Nova Lake-P",
            simulated("nvlp", "d750", "2x4x8"),
            driver=_DRIVER,
            aliases=("nvl", "nvlp"),
            preview=True,
        ),
        Profile(
            "crescent-island",
            "Crescent Island",
            simulated("cri", "674c", "4x8x8"),
            driver=_DRIVER,
            aliases=("cri",),
            preview=True,
        ),
    ),
)
