"""Intel GPUs without XMX: quantization inside the OpenCL FullyConnected kernel, on integrated GPUs.

The rules are in openvino/src/plugins/intel_gpu/src, kernel_selector/kernels/fully_connected/
fully_connected_kernel_bf_tiled.cpp (should_dynamic_quantize, get_dynamic_quantize_group_size,
is_weight_dyn_quantizable, SetDispatchDataFunc) and runtime/execution_config.cpp (the default of 32). Whether a site is
quantized was measured on OpenVINO 2026.4's GPU plugin for a Meteor Lake, by the kernels that it compiles. The groups,
and the threshold of dynamic shapes, are from source: nothing shows them.
"""

from __future__ import annotations

import math

from ovpass.sites import CompressedMatMul
from ovpass.targets.base import Adjustment, Profile, Refusal, Target
from ovpass.targets.folded_factors import SOURCE, folded_factor_on_gpu
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.intel_gpu import gpu_options, kv_cache, simulated, switched_off
from ovpass.targets.kv_storage import NO_XMX_STORAGE
from ovpass.targets.runtime_options import OBEYED

_KERNEL_GROUPS = (128, 64, 32)
_STATIC_TOKENS = 256
_WEIGHTS = "is_weight_dyn_quantizable in fully_connected_kernel_bf_tiled.cpp"
_GROUPS = "get_dynamic_quantize_group_size in fully_connected_kernel_bf_tiled.cpp"
_CHECKS = "should_dynamic_quantize in fully_connected_kernel_bf_tiled.cpp"


def _weight_type(site: CompressedMatMul, _: int) -> str | None:
    if not site.affine or site.weight_type not in ("i4", "u4", "u8"):
        return f"the kernel quantizes for i4, u4 and asymmetric u8 weights, not for {site.stored_as}"
    if site.weight_type == "u8" and site.symmetric:
        return "the kernel quantizes for u8 weights only where they have a zero point"
    return None


def _weights_input(site: CompressedMatMul, _: int) -> str | None:
    return None if site.weights_input == 1 else "the weights are the MatMul's first input: the plugin runs a Gemm"


def _rank(site: CompressedMatMul, _: int) -> str | None:
    if site.activation_rank in (2, 3, None):
        return None
    return f"the activation has rank {site.activation_rank}; the kernel supports 2 and 3"


def _precise(site: CompressedMatMul, _: int) -> str | None:
    return "the MatMul is marked precise and computes in f32" if site.precise else None


def _weight_group(site: CompressedMatMul, _: int) -> str | None:
    own = _scale_group(site)
    return None if own % 32 == 0 else f"the weights' own group of {own} is not a multiple of 32"


def _few_static_tokens(site: CompressedMatMul, _: int) -> str | None:
    if not site.activation_static:
        return None
    tokens = math.prod(site.activation_shape or ()) // site.k
    if tokens > _STATIC_TOKENS:
        return None
    return f"the static shape has {tokens} tokens; the kernel quantizes above {_STATIC_TOKENS}"


def _no_group(site: CompressedMatMul, group_size: int) -> str | None:
    if group_size >= min(_KERNEL_GROUPS):
        return None
    own = _scale_group(site)
    return f"none of the kernel's group sizes {_KERNEL_GROUPS} fits the setting and divides the weights' group {own}"


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


GPU_NO_XMX = Target(
    name="gpu-no-xmx",
    title="Intel integrated GPU without XMX",
    device="GPU",
    compute="f16",
    default_threshold=240,
    options=gpu_options(32, kv_cache("i8", OBEYED)),
    switched_off=switched_off,
    refusals=(
        Refusal("weight-type", _WEIGHTS, _weight_type),
        Refusal("weights-first", "convert_matmul_to_fc.cpp", _weights_input),
        Refusal("rank", "Validate in fully_connected_kernel_bf_tiled.cpp", _rank),
        Refusal("folded-factor", SOURCE, folded_factor_on_gpu),
        Refusal("precise", _CHECKS, _precise),
        Refusal("static-tokens", _CHECKS, _few_static_tokens),
        Refusal("weight-group", _CHECKS, _weight_group),
        Refusal("no-group", _GROUPS, _no_group),
        Refusal("k-multiple-of-group", _CHECKS, _k_alignment),
    ),
    adjustments=(Adjustment(_GROUPS, _kernel_group, "the kernel uses groups of {}, from the weights' own"),),
    exemptions=("f16-weights",),
    fuses=True,
    kv_storage=NO_XMX_STORAGE,
    owns=lambda _, xmx: not xmx,
    profiles=(
        Profile(
            "meteor-lake",
            "Core Ultra 100 (Meteor Lake)",
            simulated("mtl", "7d55", "2x4x16"),
            driver=(26, 27),
            aliases=("mtl",),
        ),
        Profile(
            "iris-xe",
            "Iris Xe (Tiger Lake)",
            simulated("tgllp", "9a49", "1x6x16"),
            driver=(22, 43),
            aliases=("tgl", "tiger-lake"),
        ),
    ),
    older_names=("gpu",),
)
