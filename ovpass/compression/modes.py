"""The compression modes of NNCF 3.4 and the options of each mode.

The sources for valid combinations are nncf/quantization/quantize_model.py (compress_weights) and
nncf/quantization/algorithms/weight_compression (check_user_compression_configuration, LoraCorrectionAlgorithm).
"""

from __future__ import annotations

from dataclasses import dataclass

from ovpass.formats.base import Encoding
from ovpass.formats.codebook import CB4

PER_CHANNEL = -1
"""NNCF's value for one scale a channel: all of K."""


@dataclass(frozen=True)
class Mode:
    """One format. `group_size` is NNCF's default: elements of K that share a scale.

    `encoding` is what NNCF stores, the group size and a codebook of the user's left out.
    `mixed` modes leave embeddings, the last layer and what `ratio` says to a second, wider format. `refined` ones can
    be fitted to activations (AWQ, scale estimation, GPTQ); `corrected` ones take LoRA adapters besides.
    """

    name: str
    encoding: Encoding
    group_size: int = 128
    fixed_group: bool = False
    mixed: bool = True
    refined: bool = False
    corrected: bool = False
    needs_codebook: bool = False
    needs_text: bool = False


_CB4 = Encoding("codebook", "u4", table=CB4, table_type="f8e4m3")

MODES = {
    mode.name: mode
    for mode in (
        Mode("int8_sym", Encoding("integer", "i8"), PER_CHANNEL, fixed_group=True, mixed=False),
        Mode("int8_asym", Encoding("integer", "u8", symmetric=False), PER_CHANNEL, fixed_group=True, mixed=False),
        Mode("int4_sym", Encoding("integer", "i4"), refined=True, corrected=True),
        Mode("int4_asym", Encoding("integer", "u4", symmetric=False), refined=True, corrected=True),
        Mode("int3_sym", Encoding("integer", "u3"), refined=True),
        Mode("int2_sym", Encoding("integer", "u2"), refined=True),
        Mode("nf4", Encoding("float", "nf4"), refined=True, corrected=True),
        Mode("mxfp4", Encoding("float", "f4e2m1", scale_type="f8e8m0"), 32, fixed_group=True),
        Mode("mxfp8_e4m3", Encoding("float", "f8e4m3", scale_type="f8e8m0"), 32, fixed_group=True),
        Mode("fp8_e4m3", Encoding("float", "f8e4m3")),
        Mode("fp4", Encoding("float", "f4e2m1")),
        Mode("nvfp4", Encoding("float", "f4e2m1", scale_type="f8e4m3"), 16, fixed_group=True),
        Mode("cb4", _CB4, PER_CHANNEL, refined=True),
        Mode("codebook", _CB4, PER_CHANNEL, refined=True, needs_codebook=True),
        Mode("adaptive_codebook", _CB4, PER_CHANNEL, refined=True, needs_text=True),
    )
}
BACKUPS = ("none", "int8_sym", "int8_asym", "mxfp8_e4m3", "fp8_e4m3")
FALLBACKS = ("error", "adjust", "ignore")
