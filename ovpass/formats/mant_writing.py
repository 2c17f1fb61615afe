"""The decompression chain of M-ANT in public ops.

All weights share one table with a row for each coefficient. The index into it is 16 times the index of the group's
coefficient, plus the code; for codes of 3 bits, 8 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.formats import writing
from ovpass.formats.base import ChainForm
from ovpass.formats.packing import constant_of

if TYPE_CHECKING:
    from ovpass.formats.mant_encoding import MantWeights
    from ovpass.ir.graph import Array

_COEFFICIENTS = "u4"
_INDEX = "i32"
"""OpenVINO folds a Gather by such indices when it compiles the model, and then keeps no codes beside the weights."""


def write_mant(encoded: MantWeights, table: Array, form: ChainForm) -> ov.Output:
    """Codes that are looked up in `table` [coefficients, codes] (f32, whole numbers that f16 holds)."""
    named = writing.namer(form)
    codes = named(op.convert(writing.codes_constant(encoded, form), _INDEX), "converted")
    types = named(constant_of(writing.laid_out(encoded.types[..., None], form), _COEFFICIENTS), "types")
    row = named(op.convert(types, _INDEX), "types_converted")
    row = named(op.multiply(row, op.constant(np.int32(table.shape[1]))), "row")
    index = named(op.add(codes, row), "index")
    stored = named(op.constant(table.reshape(-1).astype(np.float16)), "table")
    values = stored if form.compute == "f16" else named(op.convert(stored, form.compute), "table_converted")
    looked_up = named(op.gather(values, index, op.constant(np.int64(0))), "looked_up")
    return writing.write_scaled(looked_up, encoded, form)
