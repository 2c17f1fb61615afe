"""Every element type and form that the formats encode."""

from __future__ import annotations

import numpy as np

from ovpass.formats.base import Encoding
from ovpass.formats.codebook import CB4
from ovpass.formats.mant_encoding import mant

GROUP = 16
GROUPS = (None, GROUP)

INTEGERS = [
    Encoding("integer", kind, group, symmetric)
    for kind in ("u1", "u2", "u3", "u4", "u6", "u8", "i4", "i8")
    for group in GROUPS
    for symmetric in (True, False)
    if (kind, symmetric) != ("u1", True)
]
FLOATS = [
    Encoding("float", kind, group, scale_type=scale_type)
    for kind in ("nf4", "f4e2m1", "f8e4m3", "f8e5m2")
    for group in GROUPS
    for scale_type in ("f16", "f8e8m0", "f8e4m3")
]
CODEBOOKS = [
    *(Encoding("codebook", "u4", group, table=CB4, table_type=kind) for group in GROUPS for kind in ("f8e4m3", "f16")),
    Encoding("codebook", "u8", None, table=tuple(np.linspace(-1, 2, 200).tolist()), table_type="f32"),
    Encoding("codebook", "u4", GROUP, table=(-1.0, 0.25, 1.0), table_type="f32"),
]
SCALES = [Encoding("integer", "i4", GROUP, scale_type=kind) for kind in ("f32", "bf16")]
MANT = [mant(bits, group) for bits in (3, 4) for group in GROUPS]
ENCODINGS = [*INTEGERS, *FLOATS, *CODEBOOKS, *SCALES, *MANT]


def label(encoding: Encoding) -> str:
    group = f"g{encoding.group_size}" if encoding.group_size else "ch"
    form = "sym" if encoding.symmetric else "asym"
    table = f"-{encoding.table_type}-table" if encoding.format == "codebook" else ""
    table = "-mant" if encoding.format == "mant" else table
    return f"{encoding.element_type}{table}-{form}-{group}-{encoding.scale_type}"
