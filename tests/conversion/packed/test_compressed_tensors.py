"""Forms of compressed-tensors that today's llm-compressor does not write, or that need data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conversion.packed.folders import Array, checkpoint, encoding_of, unpacked, words

N, K, GROUP = 16, 64, 32
RANDOM = np.random.default_rng(0)
SCALES = RANDOM.uniform(0.01, 0.02, (N, K // GROUP)).astype(np.float16)


def config(form: str, bits: int = 4, *, symmetric: bool = True, **more: Any) -> dict[str, Any]:
    weights = {
        "num_bits": bits,
        "type": "int",
        "symmetric": symmetric,
        "strategy": "group",
        "group_size": GROUP,
        **more,
    }
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}}


def packed(codes: Array, bits: int = 4) -> dict[str, Array]:
    return {"weight_packed": words(codes, bits), "weight_shape": np.array(codes.shape), "weight_scale": SCALES}


def product(codes: Array, zero_points: Array | int, groups: Array | None = None) -> Array:
    groups = np.arange(K) // GROUP if groups is None else groups
    points = np.broadcast_to(zero_points, SCALES.shape)[:, groups]
    found: Array = (codes - points).astype(np.float32) * SCALES.astype(np.float32)[:, groups]
    return found


def test_groups_in_the_order_of_activations(tmp_path: Path) -> None:
    codes, groups = RANDOM.integers(0, 16, (N, K)), RANDOM.permutation(np.arange(K) // GROUP)
    tensors = {**packed(codes), "weight_g_idx": groups.astype(np.int32)}
    layer = unpacked(tmp_path, config("pack-quantized", actorder="group"), tensors)
    assert np.array_equal(layer.values(), product(codes, 8, groups))
    assert np.array_equal(groups[layer.order], np.arange(K) // GROUP)


@pytest.mark.parametrize(("bits", "stored"), [(2, "i4"), (3, "i4"), (6, "i8"), (8, "i8")])
def test_other_bits(tmp_path: Path, bits: int, stored: str) -> None:
    """A word of 3 or 6 bits leaves some over."""
    codes = RANDOM.integers(0, 2**bits, (N, K))
    layer = unpacked(tmp_path, config("pack-quantized", bits), packed(codes, bits))
    assert np.array_equal(layer.values(), product(codes, 2 ** (bits - 1)))
    assert encoding_of(layer).element_type == stored


def test_codes_in_bytes_with_zero_points(tmp_path: Path) -> None:
    codes, zeros = RANDOM.integers(-8, 8, (N, K)), RANDOM.integers(-8, 8, SCALES.shape)
    tensors: dict[str, Array] = {
        "weight": codes.astype(np.int8),
        "weight_scale": SCALES,
        "weight_zero_point": zeros.astype(np.int8),
    }
    layer = unpacked(tmp_path, config("naive-quantized", symmetric=False), tensors)
    assert np.array_equal(layer.values(), product(codes, zeros))
    assert encoding_of(layer).element_type == "u4"


def test_one_scale_for_the_tensor(tmp_path: Path) -> None:
    codes = RANDOM.integers(-128, 128, (N, K)).astype(np.int8)
    tensors: dict[str, Array] = {"weight": codes, "weight_scale": np.array([0.5], np.float32)}
    layer = unpacked(tmp_path, config("int-quantized", 8, strategy="tensor"), tensors)
    assert np.array_equal(layer.values(), codes * np.float32(0.5))


def test_the_first_group_whose_target_is_the_layer_counts(tmp_path: Path) -> None:
    """Before one whose target is its class."""
    codes = RANDOM.integers(0, 256, (N, K))
    given = config("pack-quantized")
    eight = config("pack-quantized", 8)["config_groups"]["group_0"] | {"targets": ["re:.*ayer$"]}
    given["config_groups"]["group_1"] = eight
    assert np.array_equal(unpacked(tmp_path, given, packed(codes, 8)).values(), product(codes, 128))


@pytest.mark.parametrize(
    ("activations", "note", "group"),
    [
        ({"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True}, "int8, dynamic, per token", -1),
        (
            {"num_bits": 8, "type": "int", "strategy": "group", "group_size": 128, "dynamic": True},
            "int8, dynamic, per group of 128",
            128,
        ),
        (
            {"num_bits": 8, "type": "int", "strategy": "tensor", "dynamic": False, "symmetric": False},
            "int8, static, per tensor, asymmetric",
            -1,
        ),
        ({"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}, "float8, dynamic, per token", None),
    ],
)
def test_activations_as_the_checkpoint_asks_for_them(
    tmp_path: Path, activations: dict[str, Any], note: str, group: int | None
) -> None:
    given = config("int-quantized", 8)
    given["config_groups"]["group_0"]["input_activations"] = activations
    tensors: dict[str, Array] = {"weight": np.ones((N, K), np.int8), "weight_scale": SCALES}
    found = checkpoint(tmp_path, given, tensors)
    assert found.notes == [f"the checkpoint asks for activations in {note}"]
    assert found.activation_group == group
