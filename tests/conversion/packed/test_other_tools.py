"""What fp8, auto-round, torchao and bitsandbytes checkpoints can have that the small real ones have not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovpass.errors import ModelError
from ovpass.formats import float_types
from tests.conversion.packed.folders import Array, checkpoint, unpacked

RANDOM = np.random.default_rng(0)


def test_blocks_of_fp8_that_are_cut_off(tmp_path: Path) -> None:
    """200 rows and 160 columns are one block of 128 and a part of one: groups of 32 lie within both."""
    codes = RANDOM.integers(0, 0x78, (200, 160)).astype(np.uint8)
    scales = RANDOM.uniform(0.001, 0.002, (2, 2)).astype(np.float32)
    given = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    layer = unpacked(tmp_path, given, {"weight": codes, "weight_scale_inv": scales}, f8=("weight",))
    whole = scales[np.arange(200) // 128][:, np.arange(160) // 128]
    assert np.array_equal(layer.values(), float_types.values_by_code("f8e4m3")[codes] * whole)
    assert layer.encoded.encoding.group_size == 32


def test_layers_of_auto_round_with_bits_of_their_own(tmp_path: Path) -> None:
    words = RANDOM.integers(-(2**31), 2**31, (16, 32)).astype(np.int32)
    tensors: dict[str, Array] = {
        "qweight": words,
        "qzeros": np.zeros((2, 8), np.int32),
        "scales": np.ones((2, 32), np.float16),
    }
    given = {"quant_method": "auto-round", "bits": 4, "packing_format": "auto_round"}
    given["extra_config"] = {"lay.*": {"bits": 8}}
    layer = unpacked(tmp_path, given, tensors)
    assert np.array_equal(
        layer.values(), np.ascontiguousarray(words).view(np.uint8).reshape(16, 32, 4).swapaxes(1, 2).reshape(64, 32).T
    )


def test_packings_that_are_not_known(tmp_path: Path) -> None:
    for form, said in (("auto_round:fp8", "packing_format"), ("auto_round:auto_awq", "has 8 bits")):
        given = {"quant_method": "auto-round", "bits": 8, "packing_format": form}
        with pytest.raises(ModelError, match=said):
            unpacked(tmp_path, given, {"qweight": np.zeros((8, 8), np.int32)})


def test_codes_that_are_packed_for_a_gpu(tmp_path: Path) -> None:
    given = {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}
    found = checkpoint(tmp_path, given, {"_weight_qdata": np.zeros((8, 8), np.uint8)})
    with pytest.raises(ModelError, match="Int4WeightOnlyConfig with codes of type U8, which is packed for a GPU"):
        found.layer("layer")


def test_blocks_of_bitsandbytes_that_run_across_rows(tmp_path: Path) -> None:
    """96 inputs and blocks of 64: every second block lies in two rows."""
    codes = RANDOM.integers(0, 16, 6 * 96)
    absmax, table = RANDOM.uniform(0.5, 1, 9).astype(np.float32), float_types.values_by_code("nf4")
    state = b'{"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [6, 96]}'
    tensors: dict[str, Array] = {
        "weight": (codes[::2] << 4 | codes[1::2]).astype(np.uint8)[:, None],
        "weight.absmax": absmax,
        "weight.quant_map": table,
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(state, np.uint8),
    }
    layer = unpacked(tmp_path, {"quant_method": "bitsandbytes"}, tensors)
    assert np.array_equal(layer.values(), (table[codes] * absmax[np.arange(len(codes)) // 64]).reshape(6, 96))
    assert layer.encoded.encoding.group_size == 32
