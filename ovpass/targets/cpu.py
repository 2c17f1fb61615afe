"""CPUs: the FullyConnected kernel quantizes, in f32 compute, and in bf16 on CPUs without AMX; none without VNNI does.

Measured on OpenVINO 2026.4 by comparing outputs with those of group size 0, over 280 MatMuls and up to 13 group sizes.
The conditions are in openvino/src/plugins/intel_cpu/src/nodes/fullyconnected.cpp and in oneDNN's
fork, src/cpu/x64/jit_brgemm_inner_product.
"""

from __future__ import annotations

import re

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import CompressedMatMul
from ovpass.support.cpu_features import has_amx, has_vnni
from ovpass.targets.base import Refusal, Target
from ovpass.targets.costs import calibration_of_this_cpu
from ovpass.targets.folded_factors import SOURCE, folded_factor
from ovpass.targets.kv_storage import CPU_STORAGE
from ovpass.targets.runtime_options import (
    CPU_CACHE_TYPES,
    IGNORED,
    KEY_CACHE,
    KEY_GROUP,
    KEY_MODE,
    KV_CACHE,
    VALUE_CACHE,
    VALUE_GROUP,
    Obedience,
)
from ovpass.targets.static import static_on_cpu

_MEASURED = "measured: bit-identical to group size 0 otherwise"
_WEIGHTS = ("u8", "i8", "u4", "i4", "u2")
_ZERO_POINTS = ("u8", "u4", "u2")
_CHAIN = re.compile(r"((Reshape|Squeeze|Unsqueeze)>)*Convert(>Subtract)?>Multiply(>Reshape)?(>Convert)?(>Transpose)?")


def _weight_type(site: CompressedMatMul, _: int) -> str | None:
    if not site.affine:
        return f"the plugin does not quantize activations for {site.format} weights"
    if site.weight_type not in _WEIGHTS:
        return f"the plugin quantizes activations for {', '.join(_WEIGHTS)} weights, not for {site.weight_type}"
    if site.weight_type.startswith("i") and not site.symmetric:
        return f"the plugin does not quantize activations for {site.weight_type} weights with a zero point"
    return None


def _chain(site: CompressedMatMul, _: int) -> str | None:
    if _CHAIN.fullmatch(site.chain):
        return None
    return f"the plugin does not keep weights compressed behind the decompression {site.chain}"


def _decompression_type(site: CompressedMatMul, _: int) -> str | None:
    types = {site.graph.element_type(site.weights.path[scale.step]) for scale in site.weights.scales}
    return "the weights are decompressed in bf16" if "bf16" in types else None


def _weights_input(site: CompressedMatMul, _: int) -> str | None:
    return None if site.weights_input == 1 else "the weights are the MatMul's first input"


def _zero_point(site: CompressedMatMul, _: int) -> str | None:
    if site.zero_point == "float":
        return "the zero point is stored in floating point"
    for zero_point in site.weights.zero_points:
        if zero_point.element_type not in _ZERO_POINTS:
            return f"the zero point is {zero_point.element_type}; it must be {', '.join(_ZERO_POINTS)}"
    return None


def _ranks(site: CompressedMatMul, _: int) -> str | None:
    leading = (site.graph.shape(site.weights.path[-1]) or ())[:-2]
    if any(size != 1 for size in leading) or (leading and "Reshape" in site.chain):
        return f"the weights have rank {site.weight_rank}, not 2"
    if site.activation_rank == 1:
        return "the activation has rank 1"
    return None


def _one_output(site: CompressedMatMul, _: int) -> str | None:
    return "there is a single output feature" if site.n == 1 else None


def _group_alignment(_: CompressedMatMul, group_size: int) -> str | None:
    return None if group_size % 16 == 0 else f"group size {group_size} is not a multiple of 16"


def _group_within_k(site: CompressedMatMul, group_size: int) -> str | None:
    if group_size <= site.k:
        return None
    return f"the group is larger than K={site.k}; the CPU has no per-token mode; use {site.k} or less"


def _weight_group(site: CompressedMatMul, group_size: int) -> str | None:
    own = site.weight_group_size or site.zero_point_group_size
    if own is None or own % group_size == 0:
        return None
    return f"the weights' own group of {own} is not a multiple of group size {group_size}"


_PRECISION = "INFERENCE_PRECISION_HINT"
_CACHE = Obedience("u8", values=CPU_CACHE_TYPES, accuracy="f32")
_CACHE_GROUP = Obedience("0")


_NO_VNNI = "this CPU has no VNNI instructions, without which the plugin does not quantize activations"


def _switched_off(precision: str, accuracy: bool) -> str | None:
    # useDynamicQuantizationImpl of nodes/executors/dnnl/dnnl_fullyconnected_primitive.cpp asks for AVX-512 or AVX VNNI.
    if not has_vnni():
        return _NO_VNNI
    # ACCURACY alone leaves the precision "dynamic", where the CPU does not quantize either (measured).
    precision = precision or ("dynamic precision" if accuracy else _default_precision())
    if precision != "f32" and has_amx():  # without AMX it quantizes in bf16 as well (measured)
        return f"this CPU computes in {precision} and then does not quantize; set {_PRECISION}=f32"
    return None


def _default_precision() -> str:
    """What the plugin computes in on this machine when it is not told."""
    import openvino as ov  # noqa: PLC0415 - only this question needs it

    try:
        return str(ov.Core().get_property("CPU", _PRECISION).to_string())
    except RuntimeError:
        return "f32"


CPU = Target(
    name="cpu",
    title="CPU",
    device="CPU",
    compute="f32",
    default_threshold=0,
    options={
        GROUP_SIZE: Obedience("32", accuracy="0"),
        KV_CACHE: _CACHE,
        KEY_CACHE: _CACHE,
        VALUE_CACHE: _CACHE,
        KEY_GROUP: _CACHE_GROUP,
        VALUE_GROUP: _CACHE_GROUP,
        KEY_MODE: Obedience("AUTO", IGNORED, reported=False),
    },
    switched_off=_switched_off,
    refusals=(
        Refusal("static", _MEASURED, static_on_cpu),
        Refusal("weight-type", _MEASURED, _weight_type),
        Refusal("weights-first", _MEASURED, _weights_input),
        Refusal("chain", _MEASURED, _chain),
        Refusal("decompression-type", _MEASURED, _decompression_type),
        Refusal("zero-point", _MEASURED, _zero_point),
        Refusal("rank", _MEASURED, _ranks),
        Refusal("one-output", _MEASURED, _one_output),
        Refusal("folded-factor", SOURCE, folded_factor),
        Refusal("group-multiple-of-16", _MEASURED, _group_alignment),
        Refusal("group-within-k", _MEASURED, _group_within_k),
        Refusal("weight-group", _MEASURED, _weight_group),
    ),
    adjustments=(),
    exemptions=("f16-zero-point", "f16-weights"),
    short_last_group=True,
    strict_ir=True,
    unsigned_int8=False,
    scales_apart=True,
    smallest_range=1e-30,
    kv_storage=CPU_STORAGE,
    costs=calibration_of_this_cpu,
)
