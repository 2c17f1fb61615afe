"""AQLM: sums of vectors of several codebooks.

A linear layer with K inputs and N outputs has `codes` [N / out group, K / in group, codebooks] in int8 or int16, to be
read as unsigned, `codebooks` [codebooks, 2^bits, out group, in group] and `scales` [N / out group, 1, 1, 1]. A weight
is the sum of the elements of its vectors, times the scale. (AQLM inference_lib, aqlm/inference.py and aqlm/utils.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ovpass.conversion.packed.layer import PackedLayer, Unpacker, check_finite
from ovpass.conversion.packed.tensors import Tensors
from ovpass.conversion.packed.vectors import as_halves, note_on
from ovpass.errors import ModelError
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

_PARTS = ("codes", "codebooks", "scales")


def open_aqlm(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """Vectors along K, in out groups of 1: all that is published.

    Raises:
        ModelError: for out groups.
    """
    if (group := int(config.get("out_group_size", 1))) != 1:
        raise ModelError(
            f"quantization_config: aqlm with out_group_size {group} cannot be converted, only with 1; start from the "
            "unquantized model"
        )
    entries = 2 ** int(config.get("nbits_per_codebook", 16))
    return Unpacker(_PARTS[:1], _PARTS, lambda name: _read(tensors, name), notes=note_on("aqlm", entries))


def _read(tensors: Tensors, name: str) -> PackedLayer:
    """A layer, its codes as they are."""
    codes, codebooks, scales = (
        tensors.stored(f"{name}.codes"),
        tensors.floats(f"{name}.codebooks"),
        tensors.floats(f"{name}.scales"),
    )
    if codes.ndim != 3 or codebooks.ndim != 4 or len(codebooks) != codes.shape[2] or scales.size != len(codes):
        shapes = f"codes {list(codes.shape)}, codebooks {list(codebooks.shape)}, scales {list(scales.shape)}"
        raise ValueError(f"{shapes} do not fit each other")
    for part, values in (("codebooks", codebooks), ("scales", scales)):
        check_finite(tensors, f"{name}.{part}", values)
    entries, length = codebooks.shape[1], codebooks.shape[3]
    unsigned = np.ascontiguousarray(np.moveaxis(codes.view(f"u{codes.itemsize}"), 2, 0)).astype(np.uint16)
    if unsigned.max(initial=0) >= entries:
        raise ValueError(f"a code of {unsigned.max()} is beyond {entries} entries")
    books = tuple(as_halves(book.reshape(1, entries, length)) for book in codebooks)
    encoding = VectorEncoding.of(length, [entries] * len(books))
    return PackedLayer(name, VectorWeights(encoding, unsigned, as_halves(scales.reshape(-1, 1)), codebooks=books))
