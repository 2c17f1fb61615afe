"""Weights without integers become integers when that is asked for, and the error of it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.conversion.hugging_face_weights import put_back
from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.requantization import Requantizer, integer_encoding
from ovpass.errors import ModelError, SettingsError
from ovpass.formats.float_types import values_by_code
from ovpass.ir.constant_folding import evaluate
from ovpass.sites import find_compressed_matmuls
from tests.cli.command import CommandLine
from tests.conversion.gguf_files import write_gguf
from tests.conversion.packed.folders import Array, checkpoint, unpacked
from tests.conversion.packed.test_vectors import aqlm
from tests.documents import ROOT

N, K, BLOCK = 16, 96, 64
RANDOM = np.random.default_rng(0)


def nf4(folder: Path) -> tuple[Path, Array]:
    """A checkpoint of bitsandbytes with one layer, and what optimum-intel makes of it; its weights in f32."""
    codes, absmax = RANDOM.integers(0, 16, N * K), RANDOM.uniform(0.5, 1, N * K // BLOCK).astype(np.float32)
    state = f'{{"quant_type": "nf4", "blocksize": {BLOCK}, "dtype": "float16", "shape": [{N}, {K}]}}'.encode()
    table = values_by_code("nf4")
    tensors: dict[str, Array] = {
        "weight": (codes[::2] << 4 | codes[1::2]).astype(np.uint8)[:, None],
        "weight.absmax": absmax,
        "weight.quant_map": table,
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(state, np.uint8),
    }
    checkpoint(folder, {"quant_method": "bitsandbytes"}, tensors)
    weights = (table[codes] * absmax[np.arange(len(codes)) // BLOCK]).reshape(N, K)
    return exported(folder / "out", weights), weights


def exported(folder: Path, weights: Array) -> Path:
    """What optimum-intel makes of a layer that was dequantized."""
    constant = op.constant(weights.astype(np.float16))
    constant.set_friendly_name("self.layer.weight")
    given = op.parameter([-1, -1, weights.shape[1]], ov.Type.f32, name="x")
    product = op.matmul(given, op.convert(constant, "f32"), False, True)
    folder.mkdir()
    ov.save_model(ov.Model([product], [given], "exported"), folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


def weights_of(folder: Path) -> tuple[str, Array]:
    """The type of the codes of the only site, and its weights."""
    (site,) = find_compressed_matmuls(ov.Core().read_model(folder / "openvino_model.xml"))
    return site.weight_type, evaluate(site.matmul.input_value(site.weights_input))


@pytest.mark.parametrize(("asked", "stored", "error"), [("i8", "i8", 1), ("i8:32", "i8", 0.7), ("u4:16", "u4", 10)])
def test_what_was_asked_for(tmp_path: Path, asked: str, stored: str, error: float) -> None:
    folder, weights = nf4(tmp_path)
    requantizer = Requantizer(integer_encoding(asked))
    assert put_back(PackedCheckpoint(tmp_path), folder, requantizer) == []
    kind, found = weights_of(folder)
    done = requantizer.result
    assert done is not None
    assert (kind, done.layers, done.worst_layer) == (stored, 1, "layer")
    measured = 100 * np.linalg.norm(found - weights) / np.linalg.norm(weights)
    assert measured < error
    assert done.error_percent == done.worst_error_percent == pytest.approx(measured, rel=1e-3)


def test_nothing_is_asked_for(tmp_path: Path) -> None:
    """The weights are exact, and a note says what that costs and which option changes it."""
    folder, weights = nf4(tmp_path)
    (note,) = put_back(PackedCheckpoint(tmp_path), folder)
    assert note.startswith("1 layer has weights in nf4: devices do not quantize activations")
    assert "--requantize i8" in note
    kind, found = weights_of(folder)
    assert kind == "nf4"
    assert np.array_equal(found, weights)


def test_vectors(tmp_path: Path) -> None:
    """AQLM with codebooks of 65,536 entries, which run decompressed."""
    config, tensors = aqlm(1, 16)
    weights = unpacked(tmp_path, config, tensors).values()
    for name, asked, said in (("exact", None, "1 layer has weights in vectors"), ("requantized", "i8", None)):
        folder = exported(tmp_path / name, weights)
        requantizer = Requantizer(integer_encoding(asked)) if asked else None
        notes = put_back(PackedCheckpoint(tmp_path), folder, requantizer)
        assert [note.partition(":")[0] for note in notes] == ([said] if said else [])
        (site,) = find_compressed_matmuls(ov.Core().read_model(folder / "openvino_model.xml"))
        assert site.weights.format == ("integer" if asked else "vector")


def test_groups_across_rows_stay_in_f16(tmp_path: Path) -> None:
    found = PackedCheckpoint(ROOT / "models/checkpoints/hqq-2-axis0")
    name = "model.layers.0.mlp.down_proj"
    folder = exported(tmp_path / "out", found.layer(name).values())
    text = (folder / "openvino_model.xml").read_text(encoding="utf-8")
    (folder / "openvino_model.xml").write_text(text.replace("self.layer.weight", f"self.{name}.weight"))
    assert "1 layer has weights in f16 (their groups run across rows)" in put_back(found, folder)[1]
    requantizer = Requantizer(integer_encoding("i8"))
    put_back(found, folder, requantizer)
    assert weights_of(folder)[0] == "i8"


def test_the_worst_layer_is_named() -> None:
    requantizer = Requantizer(integer_encoding("i8"))
    even, skewed = RANDOM.uniform(-1, 1, (8, 64)).astype(np.float32), np.full((8, 64), 0.004, np.float32)
    skewed[:, 0] = 1
    for name, weights in (("even", even), ("skewed", skewed)):
        requantizer.encode(name, weights)
    done = requantizer.result
    assert done is not None
    assert done.worst_layer == "skewed"
    assert done.worst_error_percent > done.error_percent


def test_nothing_to_requantize() -> None:
    assert Requantizer(integer_encoding("i8")).result is None


def test_groups_that_do_not_divide() -> None:
    with pytest.raises(ModelError, match="layer: cannot be re-quantized: groups of 64 do not divide K=96"):
        Requantizer(integer_encoding("i8:64")).encode("layer", np.ones((8, 96), np.float32))


@pytest.mark.parametrize("text", ["", "i4", "int8", "i8:", "i8:0", "i8:-1", "i8:x", "u4:²", "nf4:32"])
def test_types_that_there_are_not(text: str) -> None:
    with pytest.raises(SettingsError, match="requantize"):
        integer_encoding(text)


def test_gguf(ovpass: CommandLine, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in.gguf", "Q4_1")
    done = ovpass.succeed("convert", source, "-o", tmp_path / "out", "--requantize", "i8:32", "--json").json
    assert done["requantized"]["element_type"] == "i8"
    assert done["requantized"]["group_size"] == 32
    assert 0 < done["requantized"]["error_percent"] <= done["requantized"]["worst_error_percent"] < 1
    assert done["notes"] == []


def test_a_file_of_integers(ovpass: CommandLine, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in.gguf", "Q8_0")
    done = ovpass.succeed("convert", source, "-o", tmp_path / "out", "--requantize", "u4", "--json").json
    assert done["requantized"] is None
    assert "nothing is re-quantized" in done["notes"][0]


@pytest.mark.parametrize("option", ["--exact", "--integer-zero-points"])
def test_options_that_contradict(ovpass: CommandLine, tmp_path: Path, option: str) -> None:
    source = write_gguf(tmp_path / "in.gguf", "Q4_1")
    said = ovpass.refuse("convert", source, "-o", tmp_path / "out", "--requantize", "i8", option)
    assert f"requantize: {option.removeprefix('--')} keeps" in said
