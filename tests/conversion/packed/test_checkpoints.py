"""Checkpoints that tools themselves made are unpacked to what those tools dequantize them to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.formats.base import Encoding

MODELS = Path(__file__).parents[3] / "models/checkpoints"
ROWS = 8
I4, U4 = Encoding("integer", "i4", 32), Encoding("integer", "u4", 32, symmetric=False)
FP4 = (
    *(-1.0, -0.6666666865348816, -0.5, -0.3333333432674408, -0.25, -0.1666666716337204, -0.0052083334885537624),
    *(0.0, 0.0052083334885537624, 0.1666666716337204, 0.25, 0.3333333432674408, 0.5, 0.6666666865348816, 1.0),
)
FORMS: dict[str, Encoding | None] = {
    "ct-w4a16": I4,
    "ct-w4a16-asym": U4,
    "ct-w8a8": Encoding("integer", "i8", 64),
    "ct-fp8-dynamic": Encoding("float", "f8e4m3", 64),
    "ct-fp8-block": Encoding("float", "f8e4m3", 64),
    "ct-nvfp4a16": Encoding("float", "f4e2m1", 16, scale_type="f8e4m3"),
    "ct-mxfp4a16": Encoding("float", "f4e2m1", 32, scale_type="f8e8m0"),
    "bnb-nf4": Encoding("float", "nf4", 64),
    "bnb-nf4-double": Encoding("float", "nf4", 64, scale_type="f32"),
    "bnb-fp4": Encoding("codebook", "u4", 64, table=FP4, table_type="f32"),
    "bnb-int8": Encoding("integer", "i8", 64, scale_type="f32"),
    "fp8-block": Encoding("float", "f8e4m3", 32, scale_type="f32"),
    "auto-round": U4,
    "auto-round-gptq": I4,
    "hqq-4": U4,
    "hqq-3": Encoding("integer", "u4", 64, symmetric=False),
    "hqq-8": Encoding("integer", "u8", 32, symmetric=False),
    "hqq-2-axis0": None,
    "torchao-int4": U4,
    "torchao-int8": Encoding("integer", "i8", 64),
    "torchao-int8-dynamic": Encoding("integer", "i8", 64),
}


@pytest.mark.parametrize("name", FORMS)
def test_weights_are_those_of_the_tool(name: str) -> None:
    checkpoint, expected = PackedCheckpoint(MODELS / name), np.load(MODELS / f"{name}.npz")
    assert set(checkpoint.names) == set(expected.files) - {"logits"}
    for module in checkpoint.names:
        # the same products of the same numbers in f32; nvfp4 multiplies where the tool divides, and torchao's zero is
        # added where ovpass takes zero / scale off
        values = checkpoint.layer(module).values()[::ROWS]
        np.testing.assert_allclose(values, expected[module], rtol=2e-7, atol=1e-8 if name == "torchao-int4" else 0)
    encoded = checkpoint.layer("model.layers.0.self_attn.q_proj").encoded
    assert (encoded and encoded.encoding) == FORMS[name]


def test_every_committed_checkpoint_is_read() -> None:
    assert {path.name for path in MODELS.iterdir() if path.is_dir()} == set(FORMS)
