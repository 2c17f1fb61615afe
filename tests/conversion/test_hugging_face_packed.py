"""Weights packed by GPTQ and AWQ are unpacked to the numbers that the packers began with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovpass.conversion.hugging_face_packed import Array, PackedCheckpoint, PackedLayer
from ovpass.errors import ModelError
from ovpass.formats import integer
from ovpass.formats.base import ChainForm
from ovpass.ir.constant_folding import evaluate

K, N, GROUP = 64, 16, 32
RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(0, 16, (K, N))
ZEROS = RANDOM.integers(1, 16, (K // GROUP, N))
SCALES = RANDOM.uniform(0.01, 0.02, (K // GROUP, N)).astype(np.float32)


def packed(codes: Array, order: tuple[int, ...] = tuple(range(8))) -> Array:
    """32-bit words of eight codes each along the last axis; nibble i of a word is the one at order[i]."""
    words = np.zeros((*codes.shape[:-1], codes.shape[-1] // 8), np.uint32)
    for nibble, place in enumerate(order):
        words |= codes[..., place::8].astype(np.uint32) << np.uint32(4 * nibble)
    return words.view(np.int32)


def gptq(less: int, codes: Array = CODES) -> dict[str, Array]:
    return {"qweight": packed(codes.T).T, "qzeros": packed(ZEROS - less), "scales": SCALES}


def unpacked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: Mapping[str, Any], tensors: Mapping[str, Array]
) -> Array:
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": config}))
    named = {f"layer.{name}": tensor for name, tensor in tensors.items()}
    monkeypatch.setattr(PackedCheckpoint, "_files", named)
    monkeypatch.setattr(PackedCheckpoint, "_numpy", lambda _, name: named[name])
    found: Array = PackedCheckpoint(folder).layer("layer").values()
    return found


def expected(groups: Array) -> Array:
    """(code - zero point) * scale, as [N, K]."""
    found: Array = ((CODES - ZEROS[groups]) * SCALES[groups]).T
    return found


@pytest.mark.parametrize(("form", "less"), [("gptq", 1), ("gptq_v2", 0)])
def test_gptq(form: str, less: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"quant_method": "gptq", "bits": 4, "checkpoint_format": form}
    found = unpacked(tmp_path, monkeypatch, config, gptq(less))
    assert np.allclose(found, expected(np.arange(K) // GROUP))


def test_gptq_in_the_order_of_activations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = RANDOM.permutation(np.arange(K) // GROUP)
    tensors = {**gptq(1), "g_idx": groups.astype(np.int32)}
    found = unpacked(tmp_path, monkeypatch, {"quant_method": "gptq", "bits": 4}, tensors)
    assert np.allclose(found, expected(groups))


def test_awq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    tensors = {"qweight": packed(CODES, order), "qzeros": packed(ZEROS, order), "scales": SCALES}
    found = unpacked(tmp_path, monkeypatch, {"quant_method": "awq", "bits": 4}, tensors)
    assert np.allclose(found, expected(np.arange(K) // GROUP))


def test_groups_of_different_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.r_[0, np.ones(K - 1)].astype(np.int32)
    with pytest.raises(ModelError, match="g_idx"):
        unpacked(tmp_path, monkeypatch, {"quant_method": "gptq", "bits": 4}, {**gptq(1), "g_idx": groups})


@pytest.mark.parametrize("scale_type", [np.float16, np.float32])
@pytest.mark.parametrize(("codes_below", "zero_point", "stored"), [(16, 8, "i4"), (16, 3, "u4"), (16, 16, "u8")])
def test_packed_weights_are_integers_in_groups(
    codes_below: int, zero_point: int, stored: str, scale_type: type[np.generic]
) -> None:
    scales = RANDOM.uniform(0.01, 0.02, (N, K // GROUP)).astype(scale_type)
    codes = RANDOM.integers(0, codes_below, (N, K)).astype(np.uint8)
    layer = PackedLayer("layer", codes, np.full_like(scales, zero_point, np.uint8), scales, None)
    encoded = layer.encoded
    assert (encoded.encoding.element_type, encoded.encoding.group_size) == (stored, GROUP)
    expected_values = (codes.astype(np.float32).reshape(N, -1, GROUP) - zero_point) * scales[..., None].astype(
        np.float32
    )
    assert np.array_equal(layer.values(), expected_values.reshape(N, K))
    written = integer.write(encoded, ChainForm("weight", "weight/", encoded.encoding.scale_type))
    assert np.array_equal(evaluate(written), layer.values())
