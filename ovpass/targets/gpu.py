"""Intel GPUs without XMX: the OpenCL FullyConnected kernel quantizes.

Read from source, not measured, because the runtime model does not show it: openvino/src/plugins/intel_gpu/src,
kernel_selector/kernels/fully_connected/fully_connected_kernel_bf_tiled.cpp (should_dynamic_quantize,
get_dynamic_quantize_group_size, is_weight_dyn_quantizable, SetDispatchDataFunc) and
runtime/execution_config.cpp (the default of 32).
"""

from __future__ import annotations

from ovpass.sites import CompressedMatMul
from ovpass.targets.base import Adjustment, Refusal, Target
from ovpass.targets.group_sizes import PER_TOKEN

_KERNEL_GROUPS = (128, 64, 32)
_WEIGHTS = "is_weight_dyn_quantizable in fully_connected_kernel_bf_tiled.cpp"
_GROUPS = "get_dynamic_quantize_group_size in fully_connected_kernel_bf_tiled.cpp"
_CHECKS = "should_dynamic_quantize in fully_connected_kernel_bf_tiled.cpp"


def _weight_type(site: CompressedMatMul, _: int) -> str | None:
    if site.codebook or site.weight_type not in ("i4", "u4", "u8"):
        return f"the kernel quantizes for i4, u4 and asymmetric u8 weights, not for {site.weight_type}"
    if site.weight_type == "u8" and site.symmetric:
        return "the kernel quantizes for u8 weights only where they have a zero point"
    return None


def _weights_input(site: CompressedMatMul, _: int) -> str | None:
    return None if site.weights_input == 1 else "the weights are the MatMul's first input: the plugin runs a Gemm"


def _rank(site: CompressedMatMul, _: int) -> str | None:
    if site.activation_rank in (2, 3, None):
        return None
    return f"the activation has rank {site.activation_rank}; the kernel takes 2 and 3"


def _precise(site: CompressedMatMul, _: int) -> str | None:
    return "the MatMul is marked precise and computes in f32" if site.precise else None


def _weight_group(site: CompressedMatMul, _: int) -> str | None:
    own = _scale_group(site)
    return None if own % 32 == 0 else f"the weights' own group of {own} is not a multiple of 32"


def _no_group(site: CompressedMatMul, group_size: int) -> str | None:
    if group_size >= min(_KERNEL_GROUPS):
        return None
    own = _scale_group(site)
    return f"none of the kernel's groups {_KERNEL_GROUPS} is within the setting and divides the weights' group {own}"


def _k_alignment(site: CompressedMatMul, group_size: int) -> str | None:
    return None if site.k % group_size == 0 else f"K={site.k} is not a multiple of group size {group_size}"


def _kernel_group(site: CompressedMatMul, group_size: int) -> int:
    """The kernel's own choice: its largest group within the setting that divides the weights' scale group."""
    own = _scale_group(site)
    if group_size == PER_TOKEN:
        return min(own, site.zero_point_group_size or own) if own % 32 == 0 else 0
    return next((group for group in _KERNEL_GROUPS if group <= group_size and own % group == 0), 0)


def _scale_group(site: CompressedMatMul) -> int:
    return site.weight_group_size or site.k


GPU = Target(
    name="gpu",
    title="Intel integrated GPU without XMX",
    default_group_size=32,
    default_threshold=240,
    compute="f16",
    refusals=(
        Refusal("weight-type", _WEIGHTS, _weight_type),
        Refusal("weights-first", "convert_matmul_to_fc.cpp", _weights_input),
        Refusal("rank", "Validate in fully_connected_kernel_bf_tiled.cpp", _rank),
        Refusal("precise", _CHECKS, _precise),
        Refusal("weight-group", _CHECKS, _weight_group),
        Refusal("no-group", _GROUPS, _no_group),
        Refusal("k-multiple-of-group", _CHECKS, _k_alignment),
    ),
    adjustments=(Adjustment(_GROUPS, _kernel_group, "the kernel takes groups of {}, by the weights' own"),),
    per_site_group_size=False,
    exemptions=("f16-weights",),
)
