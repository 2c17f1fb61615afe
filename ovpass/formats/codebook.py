"""Scalar codebooks: table[code] * scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.formats.base import ChainForm, EncodedWeights, Encoding, Format
from ovpass.formats.chain import FLOATS, ConstantInput, WeightChain
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from ovpass.formats import float_types, scales, writing
    from ovpass.ir.graph import Array
else:
    np, float_types = lazy_module("numpy"), lazy_module("ovpass.formats.float_types")
    scales, writing = lazy_module("ovpass.formats.scales"), lazy_module("ovpass.formats.writing")

NAME = "codebook"
CB4 = (
    *(-3.5, -2.5, -1.875, -1.375, -1.0, -0.625, -0.3125, 0.0),
    *(0.28125, 0.5625, 0.875, 1.125, 1.5, 2.0, 2.5, 3.5),
)
"""The table of NNCF's mode cb4, which f8e4m3 holds exactly."""


def recognize(given: ConstantInput) -> WeightChain | None:
    """Codes that a table is looked up by."""
    return given.chain(NAME) if "Gather" in given.op_types else None


def encode(weights: Array, encoding: Encoding) -> EncodedWeights:
    """Weights rounded to the nearest entry of the table, with a scale of max|w| / the largest |entry|.

    Raises:
        ValueError: for a zero point, for an element type that does not index all of the table, and for a table that is
            not ascending in its type or whose type is unknown.
    """
    table = stored_table(encoding)
    groups = scales.in_groups(weights, encoding.group_size)
    scale, tensor_scale = scales.stored_scales(abs(groups).max(axis=-1) / abs(table).max(), encoding.scale_type)
    values = groups / scales.whole(scale, tensor_scale)[..., None]
    codes = float_types.nearest(values, table).reshape(weights.shape)
    return EncodedWeights(encoding, codes, scale, tensor_scale=tensor_scale)


def decode(encoded: EncodedWeights) -> Array:
    """The weights in f32."""
    return scales.scaled(stored_table(encoded.encoding)[encoded.codes], encoded)


def write(encoded: EncodedWeights, form: ChainForm) -> ov.Output:
    """[Convert,] Gather, Multiply, [Reshape,] [Convert]."""
    return writing.write_looked_up(encoded, stored_table(encoded.encoding), form)


def stored_table(encoding: Encoding) -> Array:
    """The table as its type holds it, f32 [entries].

    Raises:
        ValueError: as `encode`.
    """
    kind, wanted = encoding.table_type, np.array(encoding.table, np.float32)
    bits = int(encoding.element_type[1:]) if encoding.element_type.startswith("u") else 0
    if not encoding.symmetric or not 2 <= len(wanted) <= 2**bits:
        raise ValueError(f"{encoding.element_type} codes index 2 to {2**bits} values without a zero point")
    if kind not in ("f16", "f32", *FLOATS):
        raise ValueError(f"a table in {kind}; f16, f32, {', '.join(sorted(FLOATS))} are known")
    if kind in ("f16", "f32"):
        table = wanted.astype("float16" if kind == "f16" else "float32").astype("float32")
    else:
        table = float_types.values_by_code(kind)[float_types.nearest_codes(wanted, kind)]
    if not (table[1:] > table[:-1]).all():
        raise ValueError(f"a table must be ascending in {kind}")
    return table


CODEBOOK = Format(recognize, encode, decode, write)
