"""Packed checkpoints that cannot be converted are refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.safetensors_file import read_header, write_safetensors
from ovpass.errors import ModelError
from tests.cli.command import CommandLine
from tests.conversion.packed.folders import Array
from tests.conversion.packed.test_checkpoints import MODELS

LAYER = "model.layers.0.mlp.down_proj"
Stored = dict[str, tuple[str, Array]]


def configured(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a checkpoint with another quantization_config."""
    shutil.copytree(MODELS / name, folder)
    config = json.loads((folder / "config.json").read_text())
    change(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def rewritten(folder: Path, name: str, change: Callable[[Stored], object]) -> Path:
    """A copy of a checkpoint with other tensors."""
    shutil.copytree(MODELS / name, folder)
    header = read_header(MODELS / name / "model.safetensors")
    tensors = {key: (tensor.dtype, tensor.stored()) for key, tensor in header.items()}
    change(tensors)
    reads = {key: (lambda entry=entry: entry) for key, entry in tensors.items()}
    write_safetensors(folder / "model.safetensors", reads)
    return folder


def renamed(tensors: Stored) -> None:
    tensors[f"{LAYER}.qweight"] = tensors.pop(f"{LAYER}.weight_packed")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("ct-w4a16", lambda config: config.update(quant_method="quip"), "quantized by 'quip' cannot be exported"),
        ("ct-w4a16", lambda config: config["config_groups"]["group_0"].update(format="marlin-24"), "'marlin-24'"),
        ("ct-w4a16", lambda config: config["config_groups"]["group_0"]["weights"].update(num_bits=16), "16 bits"),
        ("ct-w4a16", lambda config: config.update(config_groups={}), "lacks config_groups"),
        ("ct-w4a16", lambda config: config.update(sparsity_config={"format": "sparse-24-bitmask"}), "sparse weights"),
        ("ct-w4a16", lambda config: config.update(quant_method="gptq", bits=4), "none is"),
    ],
)
def test_configurations(
    ovpass: CommandLine, tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    source = configured(tmp_path / "in", name, change)
    assert said in ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "torchao", "quant_type": {"default": None}},
        {"quant_method": "gptq", "bits": "four"},
        {"quant_method": "aqlm", "out_group_size": None},
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": []}},
        {"quant_method": "fp8", "weight_block_size": ["128", None]},
        {"quant_method": "vptq", "config_for_layers": {LAYER: {"vector_lens": [-1, 8], "num_centroids": [-1, None]}}},
    ],
    ids=lambda config: config["quant_method"],
)
def test_configurations_of_wrong_types(ovpass: CommandLine, tmp_path: Path, config: dict[str, Any]) -> None:
    source = configured(tmp_path / "in", "ct-w4a16", lambda own: own.update(config))
    said = ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert f"quantization_config of {config['quant_method']} cannot be read" in said


def test_a_pattern_that_is_none(tmp_path: Path) -> None:
    source = configured(tmp_path / "in", "auto-round", lambda config: config.update(extra_config={"*": {"bits": 8}}))
    with pytest.raises(ModelError, match=f"{LAYER}: nothing to repeat"):
        PackedCheckpoint(source).layer(LAYER)


@pytest.mark.parametrize(
    ("name", "method", "change", "tensor"),
    [
        ("ct-w4a16", "compressed-tensors", renamed, f"{LAYER}.qweight"),
        ("hqq-4", "hqq", lambda tensors: tensors.update({f"{LAYER}.SCB": tensors[f"{LAYER}.scale"]}), f"{LAYER}.SCB"),
    ],
)
def test_kinds_that_are_mixed(
    ovpass: CommandLine, tmp_path: Path, name: str, method: str, change: Callable[[Stored], object], tensor: str
) -> None:
    source = rewritten(tmp_path / "in", name, change)
    assert f"{tensor} is not of {method}" in ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_weights_that_are_pickled(ovpass: CommandLine, tmp_path: Path) -> None:
    """torchao's tensors could be saved by pickle alone for long; that runs code."""
    source = configured(tmp_path / "in", "torchao-int4", lambda _: None)
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    said = ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert "must be *.safetensors; save it as those" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("ct-w4a16", lambda tensors: tensors.pop(f"{LAYER}.weight_packed"), f"lacks tensor {LAYER}.weight_packed"),
        ("ct-w4a16", lambda tensors: tensors.pop(f"{LAYER}.weight_shape"), f"lacks tensor {LAYER}.weight_shape"),
        (
            "ct-w4a16",
            lambda tensors: tensors.update({f"{LAYER}.weight_shape": ("I64", np.array([64, 256]))}),
            "weight_shape says",
        ),
        (
            "ct-w4a16",
            lambda tensors: tensors.update({f"{LAYER}.weight_scale": ("F16", np.ones((3, 5), np.float16))}),
            f"{LAYER}: scales",
        ),
        ("hqq-4", lambda tensors: tensors.pop(f"{LAYER}.scale"), f"lacks tensor {LAYER}.scale"),
        ("hqq-4", lambda tensors: tensors.pop(f"{LAYER}.packing"), f"lacks tensor {LAYER}.packing"),
        (
            "hqq-4",
            lambda tensors: tensors.update({f"{LAYER}.shape": ("I64", np.array([64, 256]))}),
            "W_q holds 320 rows of codes, not 512",
        ),
        (
            "ct-w8a8",
            lambda tensors: tensors.update({f"{LAYER}.weight_scale": ("F16", np.full((64, 1), np.nan, np.float16))}),
            "not finite",
        ),
        (
            "ct-w8a8",
            lambda tensors: tensors.update({f"{LAYER}.weight": ("I32", np.ones((64, 160), np.int32))}),
            "type I32",
        ),
        (
            "ct-fp8-block",
            lambda tensors: tensors.update({f"{LAYER}.weight_scale": ("F16", np.ones((2, 2), np.float16))}),
            "blocks of 128 x 128",
        ),
        ("bnb-nf4", lambda tensors: tensors.pop(f"{LAYER}.weight.quant_map"), f"lacks tensor {LAYER}.weight.quant_map"),
        (
            "bnb-nf4",
            lambda tensors: tensors.pop(f"{LAYER}.weight.quant_state.bitsandbytes__nf4"),
            "quant_state.bitsandbytes__nf4",
        ),
        (
            "bnb-nf4",
            lambda tensors: tensors.update({f"{LAYER}.weight.absmax": ("F32", np.ones(7, np.float32))}),
            "7 scales do not fit",
        ),
        (
            "bnb-nf4",
            lambda tensors: tensors.update({f"{LAYER}.weight": ("U8", np.ones(9, np.uint8))}),
            "cannot reshape",
        ),
        (
            "bnb-int8",
            lambda tensors: tensors.update({f"{LAYER}.weight_format": ("U8", np.array(2, np.uint8))}),
            "tiles",
        ),
    ],
)
def test_tensors(tmp_path: Path, name: str, change: Callable[[Stored], object], said: str) -> None:
    checkpoint = PackedCheckpoint(rewritten(tmp_path / "in", name, change))
    with pytest.raises(ModelError, match=said) as refused:
        checkpoint.layer(LAYER)
    assert "\n" not in str(refused.value)


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    """f8e4m3 has codes for what is none."""
    nan = np.full((64, 160), 0x7F, np.uint8)
    source = rewritten(
        tmp_path / "in", "ct-fp8-dynamic", lambda tensors: tensors.update({f"{LAYER}.weight": ("F8_E4M3", nan)})
    )
    with pytest.raises(ModelError, match=f"{LAYER} has weights that are not finite"):
        PackedCheckpoint(source).write_plain(tmp_path / "plain")
