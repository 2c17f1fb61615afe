"""Intel GPUs with XMX (Arc, Core Ultra 200V and later): a DynamicQuantize op before the MatMul.

Measured by compiling every case on OpenVINO 2026.4's GPU plugin for an Arc A770. The code is in
openvino/src/plugins/intel_gpu/src/plugin: transformations/dynamic_quantize_fully_connected.cpp (groups),
transformations_pipeline.cpp (precision, K) and transformations/convert_fc_to_compressed.cpp (weights).
"""

from __future__ import annotations

import re

from ovpass.sites import CompressedMatMul
from ovpass.targets.base import NOT_COMPILED, Adjustment, Profile, Refusal, Target
from ovpass.targets.folded_factors import SOURCE, folded_factor_on_gpu
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.intel_gpu import gpu_options, kv_cache, simulated, switched_off
from ovpass.targets.kv_storage import XMX_STORAGE
from ovpass.targets.runtime_options import ASYMMETRIC, IGNORED, THRESHOLD, Obedience
from ovpass.targets.static import static_on_gpu

WEIGHTS = ("i8", "u8", "i4", "u4", "u2")
_ZERO_POINTS = ("u8", "i8", "u4", "i4", "u2")
_WIDE_SCALES = ("i32", "u32")
# The shape changes freely before the Convert (folded) and once by a Reshape after the Multiply; the type changes once.
_CHAIN = re.compile(
    r"((Reshape|Squeeze|Unsqueeze|Transpose)>)*Convert(>Subtract)?>Multiply"
    r"(>Reshape)?(>Convert(>Transpose)?|(>Transpose)*(>Convert)?)"
)
_FOUR_BITS = ("u4", "i4")
_SMALLEST_GROUP = 32
_LINEAR_ATTENTION_GROUP = 128
_LARGEST_BLOCKS = 32
XE2 = 20
"""The first architecture of another family."""
_PIPELINE = "transformations_pipeline.cpp, the callback of DynamicQuantizeFullyConnected"
_PASS = "dynamic_quantize_fully_connected.cpp"
_COMPRESSED = "convert_fc_to_compressed.cpp"
_KERNELS = "measured: profiling of simulated devices, with a driver of 2026"


def _format(site: CompressedMatMul, _: int) -> str | None:
    return None if site.affine else f"{site.format} weights are decompressed to f16 when the model is compiled"


def _weight_type(site: CompressedMatMul, _: int) -> str | None:
    if site.weight_type in WEIGHTS:
        return None
    return f"{site.weight_type} weights are decompressed to f16 when the model is compiled"


def _weights_input(site: CompressedMatMul, _: int) -> str | None:
    return None if site.weights_input == 1 else "the weights are the MatMul's first input: the plugin runs a Gemm"


def _chain(site: CompressedMatMul, _: int) -> str | None:
    if _CHAIN.fullmatch(site.chain):
        return None
    return f"the plugin does not recognise the decompression {site.chain}"


def _zero_point(site: CompressedMatMul, _: int) -> str | None:
    return "the zero point is stored in floating point" if site.zero_point == "float" else None


def _constant_types(site: CompressedMatMul, _: int) -> str | None:
    for zero_point in site.weights.zero_points:
        if zero_point.integer and zero_point.element_type not in _ZERO_POINTS:
            return f"{zero_point.element_type} zero points are decompressed with their weights to f16"
    for scale in site.weights.scales:
        if scale.element_type in _WIDE_SCALES:
            return f"weights with {scale.element_type} scales are decompressed to f16"
    return None


def _rank(site: CompressedMatMul, _: int) -> str | None:
    if site.activation_rank is None:
        return "the activation has a dynamic rank: the plugin does not compile it"
    if site.activation_rank in (2, 3):
        return None
    return f"the activation has rank {site.activation_rank}; the plugin quantizes ranks 2 and 3"


def _batched(site: CompressedMatMul, _: int) -> str | None:
    if site.weight_rank <= max(site.activation_rank or 0, 2):
        return None
    return f"the weights have rank {site.weight_rank}, more than the activation: the plugin runs a Gemm"


def _precise(site: CompressedMatMul, _: int) -> str | None:
    return "the MatMul is marked precise and computes in f32" if site.precise else None


def _experts(site: CompressedMatMul, _: int) -> str | None:
    if not site.of_experts:
        return None
    return "unknown: the plugin fuses experts into its own op, and the compiled model does not show it"


def _k_alignment(site: CompressedMatMul, _: int) -> str | None:
    return None if site.k % 32 == 0 else f"K={site.k} is not a multiple of 32"


def _group_too_small(_: CompressedMatMul, group_size: int) -> str | None:
    return None if group_size >= _SMALLEST_GROUP else f"group size {group_size} is below {_SMALLEST_GROUP}"


def _group_ragged(site: CompressedMatMul, group_size: int) -> str | None:
    if group_size >= site.k or site.k % group_size == 0:
        return None
    return f"K={site.k} is not a multiple of group size {group_size}"


def _no_kernel(site: CompressedMatMul, group_size: int) -> str | None:
    """A finite group beyond K compiles but has no kernel from some size on: infer throws (measured)."""
    block = 128 if site.k % 128 == 0 else 64 if site.k % 64 == 0 else 32
    if group_size == PER_TOKEN or group_size <= site.k or group_size // block <= _LARGEST_BLOCKS:
        return None
    return f"the plugin has no kernel for group size {group_size} on K={site.k}; use per-token"


def _four_bits_by_channel(site: CompressedMatMul, group_size: int) -> str | None:
    """A division by zero in the plugin, with drivers of 2026 and not with one of 2022 (measured)."""
    by_channel = site.weight_group_size is None and site.zero_point_group_size is None
    if site.weight_type not in _FOUR_BITS or site.symmetric or not by_channel or group_size >= site.k:
        return None
    return (
        f"{site.weight_type} weights with a zero point per channel make the plugin divide by zero (SIGFPE) in groups "
        f"below K={site.k}"
    )


def _two_bits(site: CompressedMatMul, _: int) -> str | None:
    if site.weight_type != "u2":
        return None
    return "u2 weights have a reference kernel only (fully_connected_gpu_bfyx_ref); compress them to 4 or 8 bits"


def _signed_zero_point(site: CompressedMatMul, _: int) -> str | None:
    if site.weight_type != "i8" or site.symmetric:
        return None
    return (
        "i8 weights with a zero point have a reference kernel only (fully_connected_gpu_bfyx_ref); compress them to u8 "
        "or symmetric i8, or exempt them"
    )


def _groups_per_token(site: CompressedMatMul, group_size: int) -> str | None:
    own = site.weight_group_size
    if site.weight_type != "u8" or site.symmetric or own is None or group_size != PER_TOKEN:
        return None
    return (
        "u8 weights with zero points in groups have a reference kernel only (ocl:ref) per token; take another group "
        f"size, which becomes {own}"
    )


def _for_linear_attention(site: CompressedMatMul, group_size: int) -> int:
    """Per token, such models lose accuracy: ShouldUseGs128. An explicit group is obeyed."""
    return _LINEAR_ATTENTION_GROUP if site.linear_attention and group_size == PER_TOKEN else group_size


def _capped(site: CompressedMatMul, group_size: int) -> int:
    """Zero points cap a finite group at the group of the weights' own scale and zero point."""
    if group_size == PER_TOKEN or site.symmetric:
        return group_size
    return min(group_size, site.weight_group_size or site.k, site.zero_point_group_size or site.k)


def has_static_batches(site: CompressedMatMul) -> bool:
    """Whether static activations meet a matrix of compressed weights for each batch, in weights of rank 3."""
    weights = site.graph.shape(*site.graph.inputs[site.index][site.weights_input]) or ()
    return site.activation_static and len(weights) == 3 and weights[0] != 1


def _not_compiled(site: CompressedMatMul, group_size: int) -> str | None:
    """Such a product compiles where it is quantized, or runs as a Gemm on weights in floating point (measured)."""
    if not has_static_batches(site) or any(rule(site, group_size) for rule in _IN_FLOATING_POINT):
        return None
    if site.precise and "Reshape" not in site.chain:
        return None
    reason = next((why for rule in _KEEPING_COMPRESSED if (why := rule(site, group_size))), None)
    return reason and f"{reason}, and an unquantized MatMul with static shapes and rank-3 weights does not compile"


_IN_FLOATING_POINT = (
    _format, _weight_type, _weights_input, _chain, _constant_types, _batched, folded_factor_on_gpu, static_on_gpu
)  # fmt: skip
_KEEPING_COMPRESSED = (_zero_point, _rank, _precise, _k_alignment, _group_too_small, _group_ragged)

GPU_XMX = Target(
    name="gpu-xmx",
    title="Intel GPU with XMX",
    device="GPU",
    compute="f16",
    default_threshold=64,
    options={
        **gpu_options(PER_TOKEN, kv_cache("f16", IGNORED)),
        THRESHOLD: Obedience("64", IGNORED, as_property=False, as_variable=True),
        ASYMMETRIC: Obedience("0", IGNORED, as_property=False, as_variable=True),
    },
    switched_off=switched_off,
    refusals=(
        Refusal(
            NOT_COMPILED,
            "measured: 'Incompatible MatMul matrix dimension', or batch dimension",
            _not_compiled,
            throws=True,
        ),
        Refusal(
            "static", "measured: the FullyConnected reads the integers of the model's own quantization", static_on_gpu
        ),
        Refusal("weight-format", _COMPRESSED, _format),
        Refusal("weight-type", _COMPRESSED, _weight_type),
        Refusal("weights-first", "convert_matmul_to_fc.cpp", _weights_input),
        Refusal("chain", _COMPRESSED, _chain),
        Refusal("float-zero-point", "measured: compiles to an OpenCL kernel without quantization", _zero_point),
        Refusal("constant-types", _COMPRESSED, _constant_types),
        Refusal("rank", _PIPELINE, _rank),
        Refusal("batched-weights", "convert_matmul_to_fc.cpp", _batched),
        Refusal("folded-factor", SOURCE, folded_factor_on_gpu),
        Refusal("precise", _PIPELINE, _precise),
        Refusal("experts", "convert_tiled_moe_block_to_gather_matmuls.cpp", _experts),
        Refusal("k-multiple-of-32", _PIPELINE, _k_alignment),
        Refusal("group-too-small", _PASS, _group_too_small),
        Refusal("group-ragged", _PASS, _group_ragged),
        Refusal(
            "no-kernel",
            "measured: 'Could not find a suitable kernel for dynamicquantize'",
            _no_kernel,
            throws=True,
        ),
    ),
    adjustments=(
        Adjustment(_PASS, _for_linear_attention, "in models with linear attention, per-token means groups of {}"),
        Adjustment(_PASS, _capped, "zero points per {} weights cap the group"),
    ),
    exemptions=("rank-4", "precise", "f16-zero-point", "f16-weights"),
    crashes=(Refusal("division-by-zero", "measured: SIGFPE", _four_bits_by_channel),),
    slow_kernels=(
        Refusal("two-bits", _KERNELS, _two_bits),
        Refusal("signed-zero-point", _KERNELS, _signed_zero_point),
        Refusal("groups-per-token", _KERNELS, _groups_per_token),
    ),
    per_site_group_size=True,
    fuses=True,
    static_ignores_threshold=True,
    kv_storage=XMX_STORAGE,
    owns=lambda architecture, xmx: xmx and architecture < XE2,
    profiles=(
        Profile(
            "arc-a770",
            "Arc A770 (Alchemist)",
            simulated("dg2", "56a0", "8x4x16"),
            driver=(22, 43),
            aliases=("a770", "alchemist", "dg2"),
        ),
        Profile(
            "arrow-lake-h",
            "Core Ultra 200H (Arrow Lake-H)",
            simulated("arl", "7d51", "2x4x16"),
            driver=(26, 27),
            aliases=("arl-h", "arlh"),
        ),
    ),
)
