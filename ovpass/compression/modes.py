"""The compression modes, those of NNCF 3.4 and ovpass's own, and the options of each mode.

The sources for valid combinations of NNCF's are nncf/quantization/quantize_model.py (compress_weights) and
nncf/quantization/algorithms/weight_compression (check_user_compression_configuration, LoraCorrectionAlgorithm).
"""

from __future__ import annotations

from dataclasses import dataclass

from ovpass.formats.base import Encoding
from ovpass.formats.codebook import CB4
from ovpass.formats.mant_encoding import mant
from ovpass.formats.vector_encoding import VectorEncoding

PER_CHANNEL = -1
"""NNCF's value for one scale a channel: all of K."""
NNCF, VECTOR = "nncf", "vector"
_FITTED = ("awq", "scale_estimation", "gptq")
_OWN = ("scale_estimation", "gptq")
_CORRECTED = (*_FITTED, "lora_correction")


@dataclass(frozen=True)
class Mode:
    """One format. `group_size` is NNCF's default: elements of K that share a scale.

    `encoding` is what NNCF stores, the group size and a codebook of the user's left out.
    `mixed` modes leave embeddings, the last layer and what `ratio` says to a second, wider format. `methods` fit the
    weights to activations, by the names of a recipe's fields. `engine` encodes the weights: NNCF, or a key of ENGINES
    (ovpass/compression/own_weights.py).
    """

    name: str
    encoding: Encoding
    group_size: int = 128
    fixed_group: bool = False
    mixed: bool = True
    methods: tuple[str, ...] = ()
    needs_codebook: bool = False
    needs_text: bool = False
    engine: str = NNCF


_CB4 = Encoding("codebook", "u4", table=CB4, table_type="f8e4m3")

MODES = {
    mode.name: mode
    for mode in (
        Mode("int8_sym", Encoding("integer", "i8"), PER_CHANNEL, fixed_group=True, mixed=False),
        Mode("int8_asym", Encoding("integer", "u8", symmetric=False), PER_CHANNEL, fixed_group=True, mixed=False),
        Mode("int4_sym", Encoding("integer", "i4"), methods=_CORRECTED),
        Mode("int4_asym", Encoding("integer", "u4", symmetric=False), methods=_CORRECTED),
        Mode("int3_sym", Encoding("integer", "u3"), methods=_FITTED),
        Mode("int2_sym", Encoding("integer", "u2"), methods=_FITTED),
        Mode("nf4", Encoding("float", "nf4"), methods=_CORRECTED),
        Mode("mxfp4", Encoding("float", "f4e2m1", scale_type="f8e8m0"), 32, fixed_group=True),
        Mode("mxfp8_e4m3", Encoding("float", "f8e4m3", scale_type="f8e8m0"), 32, fixed_group=True),
        Mode("fp8_e4m3", Encoding("float", "f8e4m3")),
        Mode("fp4", Encoding("float", "f4e2m1")),
        Mode("nvfp4", Encoding("float", "f4e2m1", scale_type="f8e4m3"), 16, fixed_group=True),
        Mode("cb4", _CB4, PER_CHANNEL, methods=_FITTED),
        Mode("codebook", _CB4, PER_CHANNEL, methods=_FITTED, needs_codebook=True),
        Mode("adaptive_codebook", _CB4, PER_CHANNEL, methods=_FITTED, needs_text=True),
        Mode("mant4", mant(4, None), 64, methods=_OWN, engine="mant"),
        Mode("mant3", mant(3, None), 64, methods=_OWN, engine="mant"),
        Mode("vq4", VectorEncoding.of(4, [256, 256]), PER_CHANNEL, fixed_group=True, needs_text=True, engine=VECTOR),
        Mode("vq3", VectorEncoding.of(4, [256, 16]), PER_CHANNEL, fixed_group=True, needs_text=True, engine=VECTOR),
        Mode("vq2", VectorEncoding.of(4, [256]), PER_CHANNEL, fixed_group=True, needs_text=True, engine=VECTOR),
    )
}
VECTOR_STEPS = ("vq2", "vq3", "vq4")
"""Vector modes from few bits to more, between which layers of one model can be divided."""
BACKUPS = ("none", "int8_sym", "int8_asym", "mxfp8_e4m3", "fp8_e4m3")
FALLBACKS = ("error", "adjust", "ignore")


def vector_encoding(mode: str) -> VectorEncoding:
    """What a vector mode stores."""
    encoding = MODES[mode].encoding
    assert isinstance(encoding, VectorEncoding), f"{mode} is no vector mode"
    return encoding
