"""The ways real exporters write compressed weights, as data: one `WeightFormat` a way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

ZeroPoint = Literal["group", "channel", "scalar"]
Layout = Literal["NK", "KN", "NK-transposed", "NK-transposed-before-convert"]


@dataclass(frozen=True)
class WeightFormat:
    """How the weights of one MatMul are stored and decompressed.

    The chain is `codes -> Convert -> [Subtract zero point] -> Multiply scale -> [Multiply] -> [Reshape] ->
    [Convert] -> [Transpose]`. A stored constant gets a Convert exactly when its type differs from `compute`.
    """

    name: str
    type: str
    """Element type of the stored codes (of the indices, with a codebook)."""
    group: int | None = None
    """Weights along K that share a scale; None is all of K, one scale a channel."""
    zero_point: ZeroPoint | None = None
    zero_point_type: str | None = None
    """None: as the codes. The compute type gives a zero point without Convert."""
    scale_type: str | None = "f16"
    """None: plain float weights, no scale."""
    scalar_scale: bool = False
    scale_product: bool = False
    """NVFP4: the group scale is itself a stored scale times one f32 scalar."""
    second_multiply: bool = False
    codebook: str | None = None
    """Element type of the table that the codes index."""
    compute: str = "f16"
    output: str = "f32"
    """Element type that reaches the MatMul, and of the activations."""
    layout: Layout = "NK"
    batch: int | None = None
    """Leading dimension of 3-D weights."""

    @property
    def symmetric(self) -> bool:
        """Whether there is no zero point."""
        return self.zero_point is None

    @property
    def transpose_b(self) -> bool:
        """Whether the chain ends in [N, K] rather than [K, N]."""
        return self.layout == "NK"

    @property
    def grouped(self) -> bool:
        """Whether a scale covers only a part of K."""
        return self.group is not None


def _integers() -> Iterable[WeightFormat]:
    for kind in ("i8", "u8"):
        for group in (None, 128, 32):
            yield WeightFormat(f"w_{kind}_sym_{_group(group)}", kind, group)
    for kind in ("i4", "u4"):
        for group in (None, 32, 64, 128, 256):
            yield WeightFormat(f"w_{kind}_sym_{_group(group)}", kind, group)
    for group in (None, 32, 64, 128, 256):
        yield WeightFormat(f"w_u4_asym_{_group(group)}", "u4", group, "group")
    yield WeightFormat("w_u8_asym_ch", "u8", None, "group")
    yield WeightFormat("w_u8_asym_scalarzp", "u8", None, "scalar")
    yield WeightFormat("w_u8_asym_g32", "u8", 32, "group")
    yield WeightFormat("w_u8_asym_g128", "u8", 128, "group")
    yield WeightFormat("w_i8_asym_ch", "i8", None, "group")
    yield WeightFormat("w_u4_asym_ch_scalarzp", "u4", None, "scalar")
    yield WeightFormat("w_u4_asym_g128_scalarzp", "u4", 128, "scalar")
    yield WeightFormat("w_u4_asym_g128_channelzp", "u4", 128, "channel")
    yield WeightFormat("w_u4_asym_g128_f16zp_noconvert", "u4", 128, "group", "f16")
    yield WeightFormat("w_i4_asym_g128_i4zp", "i4", 128, "group")
    yield WeightFormat("w_i4_scalar_scale", "i4", scalar_scale=True)
    yield WeightFormat("w_i4_g128_second_multiply", "i4", 128, second_multiply=True)


def _small_integers() -> Iterable[WeightFormat]:
    for kind in ("u1", "u2", "u3", "u6"):
        yield WeightFormat(f"w_{kind}_ch", kind)
    yield WeightFormat("w_u2_g128", "u2", 128)
    yield WeightFormat("w_u2_asym_g128", "u2", 128, "group")
    # NNCF's INT2 and INT3: unsigned codes around one i8 zero point
    yield WeightFormat("w_u2_asym_g64_i8zp", "u2", 64, "scalar", "i8")
    yield WeightFormat("w_u3_asym_g64_i8zp", "u3", 64, "scalar", "i8")


def _floats() -> Iterable[WeightFormat]:
    for kind in ("nf4", "f8e4m3", "f8e5m2", "f4e2m1"):
        yield WeightFormat(f"w_{kind}_ch", kind)
        yield WeightFormat(f"w_{kind}_g128", kind, 128)
    yield WeightFormat("w_mxfp4_g32_e8m0", "f4e2m1", 32, scale_type="f8e8m0")
    yield WeightFormat("w_mxfp8_g32_e8m0", "f8e4m3", 32, scale_type="f8e8m0")
    yield WeightFormat("w_nvfp4_like_g16_e4m3scale", "f4e2m1", 16, scale_type="f8e4m3")
    yield WeightFormat("w_nvfp4_g16", "f4e2m1", 16, scale_type="f8e4m3", scale_product=True)
    yield WeightFormat("w_cb4_g64", "u4", 64, codebook="f8e4m3")
    yield WeightFormat("w_cb4_g64_f16table", "u4", 64, codebook="f16")
    yield WeightFormat("w_cb4_g64_f32table", "u4", 64, codebook="f32")
    yield WeightFormat("w_cb8_ch_f16table", "u8", codebook="f16")
    yield WeightFormat("w_f16_plain", "f16", scale_type=None)
    yield WeightFormat("w_f32_plain", "f32", scale_type=None, compute="f32")


def _patterns() -> Iterable[WeightFormat]:
    i4, i8 = WeightFormat("", "i4", 128), WeightFormat("", "i8")
    i4_ch, u4 = WeightFormat("", "i4"), WeightFormat("", "u4", 128, "group")
    yield replace(i4, name="p_i4_g128_f32comp", compute="f32", scale_type="f32")
    yield replace(i4, name="p_i4_g128_f32comp_scaleconv", compute="f32")
    yield replace(i8, name="p_i8_ch_f32comp_scaleconv", compute="f32")
    yield replace(u4, name="p_u4_asym_g128_f32comp_scaleconv", compute="f32")
    yield replace(i4_ch, name="p_i4_ch_no_outconv_f32", compute="f32", scale_type="f32")
    yield replace(i4, name="p_i4_g128_no_outconv_f16", output="f16")
    for base, name in ((i4, "i4_g128"), (i4_ch, "i4_ch"), (i8, "i8_ch"), (u4, "u4_asym_g128")):
        yield replace(base, name=f"p_{name}_tb_false_KN", layout="KN")
    yield replace(i4, name="p_i4_g128_transpose_node", layout="NK-transposed")
    yield replace(i8, name="p_i8_ch_transpose_node", layout="NK-transposed")
    yield replace(i8, name="p_i8_ch_transpose_before_conv", layout="NK-transposed-before-convert")
    yield replace(i4_ch, name="p_i4_3d_weights_B4_ch", batch=4)
    yield replace(i4, name="p_i4_3d_weights_B4_g128", batch=4)
    yield replace(i8, name="p_i8_3d_weights_B4_ch", batch=4)
    yield replace(i4, name="p_i4_3d_weights_B1_g128", batch=1)


def _exporters() -> Iterable[WeightFormat]:
    nbits = WeightFormat("", "u4", 32, "group", scale_type="f32", compute="f32")
    yield replace(nbits, name="onnx_matmulnbits_u4_g32")
    yield replace(nbits, name="onnx_matmulnbits_u4_g32_scalarzp", zero_point="scalar")
    yield replace(nbits, name="onnx_matmulnbits_u8_g32", type="u8")
    qdq = replace(nbits, layout="KN")
    yield replace(qdq, name="onnx_qdq_u4_asym_g32")
    yield replace(qdq, name="onnx_qdq_i4_g32", type="i4", zero_point=None)
    yield replace(qdq, name="onnx_qdq_i8_ch", type="i8", zero_point=None, group=None)
    yield WeightFormat("gguf_u4_asym_g32", "u4", 32, "group")
    yield WeightFormat("gguf_u8_asym_g32", "u8", 32, "group")
    # where a layer is exempted from dynamic quantization by an f16 zero point
    yield WeightFormat("w_u8_asym_ch_f16zp_noconvert", "u8", None, "group", "f16")


def _group(group: int | None) -> str:
    return "ch" if group is None else f"g{group}"


def _catalogue() -> dict[str, WeightFormat]:
    sources = (_integers, _small_integers, _floats, _patterns, _exporters)
    return {fmt.name: fmt for source in sources for fmt in source()}


FORMATS: dict[str, WeightFormat] = _catalogue()
"""Every format by name. K must be a multiple of the largest group asked for; 256 and 512 suit all."""


def weight_format(fmt: WeightFormat | str) -> WeightFormat:
    """The format itself, or the one of that name in the catalogue."""
    return FORMATS[fmt] if isinstance(fmt, str) else fmt
