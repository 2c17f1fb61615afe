"""GGUF files through OpenVINO GenAI's reader, which is for OpenVINO without a frontend for them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import openvino as ov
import openvino_genai
import pytest

from ovpass.conversion.convert import convert_source
from ovpass.conversion.find_source import find_source
from ovpass.conversion.gguf_checks import notes_on_tensors
from ovpass.conversion.gguf_file import open_gguf
from ovpass.conversion.gguf_metadata import config_of
from ovpass.conversion.linear_layers import LinearLayer, find_linear_layers
from ovpass.conversion.source import Options
from ovpass.errors import ModelError
from ovpass.ir.constant_folding import evaluate
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from tests.cli.command import CommandLine
from tests.conversion.gguf_files import BLOCKS, FFN, HEAD, HIDDEN, WORDS, weights_in, write_gguf

BODY = 7 * BLOCKS
HALF = 2.0**-11
"""The largest relative error of a value that is rounded to f16."""
NAMES = {
    "attn.q": "attn_q", "attn.k": "attn_k", "attn.v": "attn_v", "attn.out": "attn_output", "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up", "mlp.down": "ffn_down",
}  # fmt: skip


@pytest.fixture(autouse=True)
def older_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without the frontend."""
    monkeypatch.setattr("ovpass.conversion.gguf_frontend.frontend.library", lambda: None)


def matmuls(folder: Path) -> dict[str, Any]:
    """The weights [N, K] of each MatMul by the GGUF's name for them, as the model computes them."""
    model = ov.Core().read_model(folder / "openvino_model.xml")
    by_name = {node.get_friendly_name(): node for node in model.get_ops()}
    found = {}
    layers: list[CompressedMatMul | LinearLayer] = [*find_compressed_matmuls(model)]
    for layer in [*layers, *find_linear_layers(ModelGraph(model))]:
        if layer.k > 1:
            name = "output" if layer.layer is None else f"blk.{layer.layer}.{NAMES[layer.kind]}"
            found[name] = evaluate(by_name[layer.name].input_value(1)).astype(np.float32).reshape(layer.n, layer.k)
    return found


def expected(path: Path) -> dict[str, Any]:
    weights = {name.removesuffix(".weight"): values for name, values in weights_in(path).items()}
    return {"output": weights["token_embd"], **weights}


def difference(found: Any, wanted: Any) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tied", "weights", "lost"),
    [
        # products with a scale in f16 are exact in 11 bits or rounded once
        ("F16", True, "f16", 0.0),
        ("Q8_0", True, "u8 asymmetric g32", HALF),
        ("Q4_0", False, "u4 asymmetric g32", HALF),
        # a minimum is rounded to a multiple of the scale: 1 / sqrt(12) of a step, of 15 over about 4 deviations
        ("Q4_1", True, "u4 asymmetric g32", 0.1),
    ],
)
def test_every_type_that_genai_reads(tmp_path: Path, kind: str, tied: bool, weights: str, lost: float) -> None:
    source = write_gguf(tmp_path / "in.gguf", kind, tied=tied)
    done = convert_source(source, tmp_path / "out")
    assert (done.kind, done.tokenizer) == ("GGUF", True)
    (model,) = done.models
    assert {layers.weights.rpartition(" ")[0] for layers in model.layers} == {weights}
    assert sum(layers.count for layers in model.layers) == BODY + 1
    assert bool(done.notes) == (kind == "Q4_1")
    found, wanted = matmuls(tmp_path / "out"), expected(source)
    assert len(found) == BODY + 1
    assert max(difference(found[name], wanted[name]) for name in found) <= lost
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gguf", "out"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Q4_1", "Q5_1"])
def test_exact_keeps_what_the_file_says(tmp_path: Path, kind: str) -> None:
    """A type that GenAI rounds, and one that it cannot read."""
    source = write_gguf(tmp_path / "in.gguf", kind)
    done = convert_source(source, tmp_path / "out", Options(exact=True))
    assert done.notes == ()
    assert done.models[0].sites == 0
    found, wanted = matmuls(tmp_path / "out"), expected(source)
    assert len(found) == BODY + 1
    assert all(np.array_equal(found[name], wanted[name].astype(np.float16).astype(np.float32)) for name in found)


@pytest.mark.vnni
@pytest.mark.slow
def test_the_converted_model_generates_and_can_be_read_by_every_command(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_gguf(tmp_path / "in/model.gguf", "Q4_0")
    ovpass.succeed("convert", tmp_path / "in", "-o", tmp_path / "model", "--quiet")
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert (config["hidden_size"], config["vocab_size"], config["rms_norm_eps"]) == (HIDDEN, len(WORDS), 1e-5)
    assert json.loads((tmp_path / "model/generation_config.json").read_text())["eos_token_id"] == 2
    pipeline = openvino_genai.LLMPipeline(tmp_path / "model", "CPU")
    assert pipeline.get_tokenizer().encode("the").input_ids.data.tolist() == [[WORDS.index("the")]]
    assert pipeline.generate("the", max_new_tokens=2, ignore_eos=True)
    ovpass.succeed(
        "apply", tmp_path / "model", "-o", tmp_path / "out", "--target", "cpu", "--group-size", 32, "--quiet"
    )
    assert ovpass.succeed("verify", tmp_path / "out", "--device", "CPU", "--json").json["ok"]


def test_a_folder_with_several_files(tmp_path: Path) -> None:
    for name in ("model.gguf", "other.gguf"):
        write_gguf(tmp_path / name)
    with pytest.raises(ModelError, match=r"several models, model\.gguf, other\.gguf"):
        find_source(tmp_path)


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3"])
def test_configurations_of_other_architectures(tmp_path: Path, architecture: str) -> None:
    config = config_of(open_gguf(write_gguf(tmp_path / "in.gguf", architecture=architecture, tied=False)))
    assert config["model_type"] == architecture
    assert config["architectures"][0].lower() == f"{architecture}forcausallm"
    assert not config["tie_word_embeddings"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"architecture": "mamba"}, "mamba.* llama, qwen2, qwen3"),
        ({"kind": "Q5_0"}, "Q5_0.* --exact"),
        ({"more": {"split.count": 2}}, "several parts"),
    ],
)
def test_models_that_genai_does_not_build(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    source = write_gguf(tmp_path / "in.gguf", **options)
    with pytest.raises(ModelError, match=named):
        convert_source(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.9])
def test_damaged_files(tmp_path: Path, share: float) -> None:
    """Cut off in the magic, in the header, in the tokenizer and in the weights."""
    content = write_gguf(tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cut\.gguf: is not a complete GGUF file"):
        convert_source(tmp_path / "cut.gguf", tmp_path / "out")


def test_what_genai_refuses_is_said_in_one_line(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_gguf(tmp_path / "in.gguf")
    monkeypatch.setattr("ovpass.conversion.gguf_genai._CONVERT", "sys.exit('not that one')")
    assert "OpenVINO GenAI cannot convert it" in ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


def test_a_disk_that_is_full_is_named(ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_gguf(tmp_path / "in.gguf")
    monkeypatch.setattr("ovpass.conversion.gguf_genai._CONVERT", "sys.exit('basic_ios::clear: iostream error')")
    assert "left; free some space" in ovpass.refuse("convert", source, "-o", tmp_path / "out")


def replaced(path: Path, *pairs: tuple[bytes, bytes]) -> Path:
    """The same file with other bytes in the first such places."""
    content = path.read_bytes()
    for before, after in pairs:
        assert before in content
        assert len(before) == len(after)
        content = content.replace(before, after, 1)
    path.write_bytes(content)
    return path


def number(key: str, before: int, after: int) -> tuple[bytes, bytes]:
    """A 32-bit integer behind its key."""
    head = key.encode() + b"\4\0\0\0"
    return head + before.to_bytes(4, "little"), head + after.to_bytes(4, "little")


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (number("block_count", 1, 0), "tensors of 1 block, not 0 as by llama.block_count"),
        (number("block_count", 1, 2), "tensors of 1 block, not 2"),
        (number("block_count", 1, 4_000_000_000), "not 4000000000"),
        (
            number("feed_forward_length", FFN, 7),
            r"blk\.0\.ffn_gate\.weight is \[192, 128\], but the metadata says \[7, 128\]",
        ),
        (number("attention.head_count_kv", 1, 2), r"blk\.0\.attn_k\.weight is"),
        (number("rope.dimension_count", HEAD, 32), "rotates 32 of the 64"),
        ((b"blk.0.ffn_up.weight", b"blk.0.ffn_pu.weight"), r"lacks 1 tensor: blk\.0\.ffn_up\.weight"),
        ((b"output_norm.weight", b"output_mron.weight"), "lacks 1 tensor: output_norm"),
        ((b"\4\0\0\0\0\0\0\0gpt2", b"\4\0\0\0\0\0\0\0bert"), "tokenizer 'bert' from GGUF, only 'gpt2'"),
        ((b"tokenizer.ggml.merges", b"tokenizer.ggml.megres"), "lacks tokenizer.ggml.merges"),
        ((b"tokenizer.ggml.pre", b"tokenizer.ggml.rep"), "lacks tokenizer.ggml.pre"),
    ],
)
def test_metadata_and_tensors_that_do_not_fit(
    tmp_path: Path, exact: bool, change: tuple[bytes, bytes], named: str
) -> None:
    source = replaced(write_gguf(tmp_path / "in.gguf"), change)
    with pytest.raises(ModelError, match=named):
        convert_source(source, tmp_path / "out", Options(exact=exact))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "F16"])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_scales_that_are_no_numbers(tmp_path: Path, kind: str, exact: bool) -> None:
    source = write_gguf(tmp_path / "in.gguf", kind)
    tensor = next(each for each in gguf.GGUFReader(source).tensors if each.name == "blk.0.attn_q.weight")
    content = bytearray(source.read_bytes())
    content[tensor.data_offset : tensor.data_offset + 2] = b"\0\x7e"
    source.write_bytes(content)
    with pytest.raises(ModelError, match=r"blk\.0\.attn_q\.weight .*not finite"):
        convert_source(source, tmp_path / "out", Options(exact=exact))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tensors": {"rope_freqs.weight": np.ones(HEAD // 2, np.float32)}}, r"drops .*\(rope_freqs\.weight\)"),
        ({"more": {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}}, "linear, factor 4"),
        ({"tensors": {"blk.0.surprise.weight": np.ones(4, np.float32)}}, r"drops .*: blk\.0\.surprise\.weight"),
    ],
)
def test_what_genai_leaves_out_is_noted(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    (note,) = notes_on_tensors(open_gguf(write_gguf(tmp_path / "in.gguf", **options)))
    assert re.search(named, note)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
def test_notes_on_tensors_are_told(tmp_path: Path, exact: bool) -> None:
    surprise = {"blk.0.surprise.weight": np.ones(4, np.float32)}
    done = convert_source(write_gguf(tmp_path / "in.gguf", tensors=surprise), tmp_path / "out", Options(exact=exact))
    (note,) = done.notes
    assert "surprise" in note


def test_scaling_by_nothing_is_none(tmp_path: Path) -> None:
    none = {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}
    assert notes_on_tensors(open_gguf(write_gguf(tmp_path / "in.gguf", more=none))) == []
