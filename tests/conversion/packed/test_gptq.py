"""Weights packed by GPTQ and AWQ are unpacked to the numbers that the packers began with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovpass.conversion.packed.layer import PackedLayer, integer_weights
from ovpass.errors import ModelError
from ovpass.formats import integer
from ovpass.formats.base import ChainForm
from ovpass.ir.constant_folding import evaluate
from tests.conversion.packed.folders import Array, unpacked, words

K, N, GROUP = 64, 16, 32
RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(0, 16, (K, N))
ZEROS = RANDOM.integers(1, 16, (K // GROUP, N))
SCALES = RANDOM.uniform(0.01, 0.02, (K // GROUP, N)).astype(np.float32)


def gptq(less: int, codes: Array = CODES) -> dict[str, Array]:
    return {"qweight": words(codes.T).T, "qzeros": words(ZEROS - less), "scales": SCALES}


def awq_words(codes: Array) -> Array:
    """Nibble i of a word is the column of that place in the order."""
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    return words(codes.reshape(len(codes), -1, 8)[..., order].reshape(codes.shape))


def expected(groups: Array) -> Array:
    """(code - zero point) * scale, as [N, K]."""
    found: Array = ((CODES - ZEROS[groups]) * SCALES[groups]).T
    return found


@pytest.mark.parametrize(("form", "less"), [("gptq", 1), ("gptq_v2", 0)])
def test_gptq(form: str, less: int, tmp_path: Path) -> None:
    config = {"quant_method": "gptq", "bits": 4, "checkpoint_format": form}
    found = unpacked(tmp_path, config, gptq(less)).values()
    assert np.allclose(found, expected(np.arange(K) // GROUP))


def test_gptq_in_the_order_of_activations(tmp_path: Path) -> None:
    groups = RANDOM.permutation(np.arange(K) // GROUP)
    tensors = {**gptq(1), "g_idx": groups.astype(np.int32)}
    found = unpacked(tmp_path, {"quant_method": "gptq", "bits": 4}, tensors).values()
    assert np.allclose(found, expected(groups))


def test_awq(tmp_path: Path) -> None:
    tensors = {"qweight": awq_words(CODES), "qzeros": awq_words(ZEROS), "scales": SCALES}
    found = unpacked(tmp_path, {"quant_method": "awq", "bits": 4}, tensors).values()
    assert np.allclose(found, expected(np.arange(K) // GROUP))


def test_groups_of_different_sizes_are_refused(tmp_path: Path) -> None:
    groups = np.r_[0, np.ones(K - 1)].astype(np.int32)
    with pytest.raises(ModelError, match="g_idx"):
        unpacked(tmp_path, {"quant_method": "gptq", "bits": 4}, {**gptq(1), "g_idx": groups})


@pytest.mark.parametrize("scale_type", [np.float16, np.float32])
@pytest.mark.parametrize(("codes_below", "zero_point", "stored"), [(16, 8, "i4"), (16, 3, "u4"), (16, 16, "u8")])
def test_packed_weights_are_integers_in_groups(
    codes_below: int, zero_point: int, stored: str, scale_type: type[np.generic]
) -> None:
    scales = RANDOM.uniform(0.01, 0.02, (N, K // GROUP)).astype(scale_type)
    codes = RANDOM.integers(0, codes_below, (N, K)).astype(np.uint8)
    encoded = integer_weights(codes, np.full_like(scales, zero_point, np.uint8), scales, 4)
    layer = PackedLayer("layer", encoded)
    assert (encoded.encoding.element_type, encoded.encoding.group_size) == (stored, GROUP)
    expected_values = (codes.astype(np.float32).reshape(N, -1, GROUP) - zero_point) * scales[..., None].astype(
        np.float32
    )
    assert np.array_equal(layer.values(), expected_values.reshape(N, K))
    written = integer.write(encoded, ChainForm("weight", "weight/", encoded.encoding.scale_type))
    assert np.array_equal(evaluate(written), layer.values())
