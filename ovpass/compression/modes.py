"""The compression modes of NNCF 3.4 and the options of each mode.

The sources for valid combinations are nncf/quantization/quantize_model.py (compress_weights) and
nncf/quantization/algorithms/weight_compression (check_user_compression_configuration, LoraCorrectionAlgorithm).
"""

from __future__ import annotations

from dataclasses import dataclass

PER_CHANNEL = -1
"""NNCF's value for one scale a channel: all of K."""


@dataclass(frozen=True)
class Mode:
    """One format. `group_size` is NNCF's default: elements of K that share a scale.

    `mixed` modes leave embeddings, the last layer and what `ratio` says to a second, wider format. `refined` ones can
    be fitted to activations (AWQ, scale estimation, GPTQ); `corrected` ones take LoRA adapters besides.
    """

    name: str
    group_size: int = 128
    fixed_group: bool = False
    mixed: bool = True
    refined: bool = False
    corrected: bool = False
    needs_codebook: bool = False
    needs_text: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode("int8_sym", PER_CHANNEL, fixed_group=True, mixed=False),
        Mode("int8_asym", PER_CHANNEL, fixed_group=True, mixed=False),
        Mode("int4_sym", refined=True, corrected=True),
        Mode("int4_asym", refined=True, corrected=True),
        Mode("int3_sym", refined=True),
        Mode("int2_sym", refined=True),
        Mode("nf4", refined=True, corrected=True),
        Mode("mxfp4", 32, fixed_group=True),
        Mode("mxfp8_e4m3", 32, fixed_group=True),
        Mode("fp8_e4m3"),
        Mode("fp4"),
        Mode("nvfp4", 16, fixed_group=True),
        Mode("cb4", PER_CHANNEL, refined=True),
        Mode("codebook", PER_CHANNEL, refined=True, needs_codebook=True),
        Mode("adaptive_codebook", PER_CHANNEL, refined=True, needs_text=True),
    )
}
BACKUPS = ("none", "int8_sym", "int8_asym", "mxfp8_e4m3", "fp8_e4m3")
FALLBACKS = ("error", "adjust", "ignore")
