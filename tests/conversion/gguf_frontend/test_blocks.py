"""The blocks of GGML are read as gguf dequantizes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from ovpass.conversion.gguf_checks import check_finite
from ovpass.conversion.gguf_frontend.blocks import BLOCKS, read_blocks
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.errors import ModelError
from ovpass.formats import FORMATS

N, K = 6, 512
HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "MXFP4": ()}
"""Where scales lie in a block as f16, if not at its start."""


@pytest.mark.parametrize("kind", BLOCKS)
def test_random_blocks(kind: str) -> None:
    rng = np.random.default_rng(0)
    quantization = gguf.GGMLQuantizationType[kind]
    elements, size = gguf.GGML_QUANT_SIZES[quantization]
    blocks = rng.integers(0, 256, (N * K // elements, size)).astype(np.uint8)
    for place in HALVES.get(kind, (0, 2) if kind.endswith("_1") else (0,)):
        scales = rng.uniform(0.001, 0.1, (len(blocks), 1)).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8)
    if kind == "MXFP4":
        blocks[:, 0] = rng.integers(118, 124, len(blocks))
    tensor = SimpleNamespace(tensor_type=quantization, data=blocks.reshape(N, -1), shape=np.array([K, N]))
    read, wanted = read_blocks(tensor), dequantize(tensor.data, quantization)
    assert read is not None
    encoded = read.encoded if read.zero_point is None else replace(read.encoded, zero_point=read.zero_point)
    # a minimum in steps of the scale is rounded once, to f32
    tolerance = 0 if read.zero_point is None else 1e-6 * np.abs(wanted).max()
    np.testing.assert_allclose(FORMATS[encoded.encoding.format].decode(encoded), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_scales_that_are_no_numbers(kind: str) -> None:
    quantization = gguf.GGMLQuantizationType[kind]
    data = np.full((1, gguf.GGML_QUANT_SIZES[quantization][1]), 0xFF, np.uint8)
    tensor = SimpleNamespace(tensor_type=quantization, data=data, name="blk.0.attn_q.weight")
    file = GgufFile(Path("in.gguf"), "llama", {kind: 1}, True, SimpleNamespace(tensors=[tensor]))
    with pytest.raises(ModelError, match=r"in\.gguf: blk\.0\.attn_q\.weight has values that are not finite"):
        check_finite(file)


def test_other_types_have_no_such_form() -> None:
    assert read_blocks(SimpleNamespace(tensor_type=gguf.GGMLQuantizationType.IQ2_XS)) is None
